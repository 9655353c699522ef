"""The instance metadata service: version 2 with tokens, version 1 where the instance allows it.

https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/configuring-instance-metadata-service.html
"""

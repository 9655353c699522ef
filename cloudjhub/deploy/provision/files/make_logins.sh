# A one-time password for each account named that has not chosen a password of its own yet.
/usr/local/sbin/cloudjhub-one-time-password --new-only "$@" | { IFS= read -r line; answer "$line"; }

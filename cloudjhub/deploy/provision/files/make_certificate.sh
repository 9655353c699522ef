# A certificate that we sign ourselves, for the names given (one word, with commas: DNS:a,IP:1.2.3.4).
# One that somebody else signed stays, unless the second argument is "replace"; ours is made anew when the names
# change or it soon ends.
names=$1 others=${2:-keep}
crt=/etc/jupyterhub/ssl/hub.crt key=/etc/jupyterhub/ssl/hub.key
own() { [ "$(openssl x509 -in "$crt" -noout -subject -nameopt RFC2253 2>/dev/null)" = "subject=CN=cloudJHub self-signed" ]; }
fits() { [ "$(cat "$crt.names" 2>/dev/null)" = "$names" ] && [ -s "$key" ] && openssl x509 -in "$crt" -noout -checkend 2592000 >/dev/null 2>&1; }
if [ ! -s "$crt" ] || { own && ! fits; } || { [ "$others" = replace ] && ! own; }; then
    phase "a self-signed certificate"
    umask 077
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -sha256 -days 820 \
        -subj "/CN=cloudJHub self-signed" -addext "subjectAltName=$names" \
        -addext "extendedKeyUsage=serverAuth" -addext "basicConstraints=critical,CA:FALSE" \
        -keyout "$key.new" -out "$crt.new" 2>/dev/null
    mv "$key.new" "$key"
    mv "$crt.new" "$crt"
    echo "$names" >"$crt.names"
fi
chown -R caddy:caddy /etc/jupyterhub/ssl
signed_by_us=false
if own; then signed_by_us=true; fi
fingerprint=$(openssl x509 -in "$crt" -noout -fingerprint -sha256 | cut -d= -f2)
answer "{\"fingerprint\": \"$fingerprint\", \"self_signed\": $signed_by_us}"

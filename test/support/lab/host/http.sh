#!/bin/sh
# One HTTP exchange of a lab server, on stdin and stdout (socat gives the peer's address): http.sh NAME
name=$1
peer=${SOCAT_PEERADDR:-unknown}
peer=${peer#[}
peer=${peer%]}
cr=$(printf '\r')

IFS=' ' read -r method target _ || exit 0
length=0
while IFS= read -r header; do
  header=${header%"$cr"}
  [ -n "$header" ] || break
  case $header in
  [Cc]ontent-[Ll]ength:*) length=${header#*:} ;;
  esac
done

head_() {
  printf 'HTTP/1.1 %s\r\nServer: %s\r\nContent-Type: text/plain\r\nConnection: close\r\n' "$1" "$name"
  [ -z "$2" ] || printf 'Content-Length: %d\r\n' "$2"
  printf '\r\n'
}
text() {
  head_ '200 OK' $((${#1} + 1))
  printf '%s\n' "$1"
}

case "$method $target" in
'GET /')
  ptr=$(dig +short +time=1 +tries=1 -x "$peer" 2>/dev/null) || ptr=
  case $ptr in '' | ';'*) ptr=no-name. ;; esac
  text "$name
you are $peer (${ptr%.})"
  ;;
'GET /address') text "$peer" ;;
'GET /bytes?'*)
  count=${target#*\?}
  head_ '200 OK' "$count"
  head -c "$count" /dev/zero
  ;;
'GET /stream')
  # For ever: shows when a running flow is cut.
  head_ '200 OK' ''
  line=0
  while echo "$line"; do
    line=$((line + 1))
    sleep 0.1
  done
  ;;
'POST /echo')
  head_ '200 OK' "$length"
  head -c "$((length))"
  ;;
*)
  head_ '404 Not Found' 10
  echo 'not found'
  ;;
esac

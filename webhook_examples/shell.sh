#!/bin/sh
# Refuse senders of some domains, in plain shell: socat takes connections and starts this script anew for each.
#
#     sh webhook_examples/shell.sh [PORT]
#
# Enough for a handful of rules on short events such as `mail`; for more, take a language with a JSON parser.

if [ "$1" != answer ]; then # -d -d: say where it listens and who connects
	exec socat -d -d "TCP-LISTEN:${1:-8000},bind=127.0.0.1,reuseaddr,backlog=128,fork" "EXEC:sh $0 answer"
fi

# From here on standard input and output are one HTTP connection. The header ends with an empty line.
cr=$(printf '\r')
length=0
while read -r name value && [ "$name" != "$cr" ]; do
	case $name in
		[Cc]ontent-[Ll]ength:) length=${value%"$cr"} ;;
	esac
done
call=$(head -c "$length") # no more: the gateway does not hang up, so the input does not end

# `data` is the fact in question. A quote inside of a JSON string is always escaped, so nothing that a client says
# can look like this; and an address with a quote or backslash in it is simply not on the list.
sender=$(printf %s "$call" | grep -o '"data": *{"address": *"[^"]*"' | head -n 1 | cut -d '"' -f 6)
sender=$(printf %s "$sender" | tr '[:upper:]' '[:lower:]')

case $sender in
	*@spam.example | *.spam.example)
		answer='{"action":"reject","reply":{"code":550,"enhanced":"5.7.1","text":"Your domain is not welcome here"}}'
		;;
	*) answer='{}' ;;
esac

printf 'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s' \
	"${#answer}" "$answer"

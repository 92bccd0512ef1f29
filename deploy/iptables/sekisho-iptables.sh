#!/bin/sh
# Sends the TCP connections that this network namespace opens to a Sekisho lane with "upstream: transparent".
# For an init container with NET_ADMIN and NET_RAW, or for a host as root; Sekisho itself needs no capability.
# Every run puts the rules in place whole, in one step: running it again changes nothing. See docs/transparent.md.
set -eu

usage() {
    cat <<'TEXT'
usage: sekisho-iptables.sh --uid UID --port PORT [options]
       sekisho-iptables.sh --remove

  --uid UID             the user that Sekisho runs as: its own connections leave as they are (may be repeated)
  --port PORT           the port that the transparent lane listens on
  --ports LIST          TCP ports to redirect: "all" (default), or like 80,443,8000:8999
  --exclude-ports LIST  TCP ports that leave as they are (default 53; "" for none)
  --exclude CIDR        addresses that are reached directly, IPv4 or IPv6 (may be repeated)
  --only-uid UID        redirect only what this user opens (may be repeated); default: everybody but --uid
  --quic count|pass     UDP/443: redirect to the lane's port, where it is counted and never answered (default), or leave it
  --ipv4-only           no rules for IPv6: only where IPv6 leads nowhere
  --print               print the rules and change nothing
  --remove              take the rules away

Connections to this machine itself (loopback, its own addresses) are never redirected.
IPTABLES and IP6TABLES name other programs than iptables and ip6tables, like iptables-legacy.
TEXT
}

fail() {
    echo "sekisho-iptables: $1" >&2
    exit 2
}

number() { # NAME VALUE MOST
    case $2 in
    '' | *[!0-9]* | ???????????*) fail "$1 $2 is not a number" ;;
    esac
    [ "$2" -le "$3" ] || fail "$1 $2 is more than $3"
}

ports() { # NAME LIST: one port or range a line
    for item in $(printf %s "$2" | tr ',-' ' :'); do
        number "$1" "${item%%:*}" 65535
        number "$1" "${item##*:}" 65535
        echo "$item"
    done
}

chain=SEKISHO
ipv4=${IPTABLES:-iptables}
ipv6=${IP6TABLES:-ip6tables}
uids='' only='' exclude='' port='' redirected=all excluded=53 quic=count families='4 6' action=add

while [ $# -gt 0 ]; do
    case $1 in
    --uid | --only-uid | --port | --ports | --exclude-ports | --exclude | --quic)
        [ $# -ge 2 ] || fail "$1 needs a value"
        ;;
    esac
    case $1 in
    --uid) number "$1" "$2" 4294967294 && uids="$uids $2" && shift ;;
    --only-uid) number "$1" "$2" 4294967294 && only="$only $2" && shift ;;
    --port) number "$1" "$2" 65535 && port=$2 && shift ;;
    --ports) redirected=$2 && shift ;;
    --exclude-ports) excluded=$2 && shift ;;
    --exclude)
        case $2 in
        *[!0-9A-Fa-f:./]* | '') fail "--exclude $2 is not an address or CIDR" ;;
        esac
        exclude="$exclude $2" && shift
        ;;
    --quic)
        case $2 in
        count | pass) quic=$2 ;;
        *) fail "--quic is count or pass" ;;
        esac
        shift
        ;;
    --ipv4-only) families=4 ;;
    --print) action=print ;;
    --remove) action=remove ;;
    -h | --help) usage && exit 0 ;;
    *) usage >&2 && fail "unknown option $1" ;;
    esac
    shift
done

if [ "$redirected" = all ]; then tcp=1:65535; else tcp=$(ports --ports "$redirected"); fi
left=$(ports --exclude-ports "$excluded")

rules() { # FAMILY: the table nat for iptables-restore
    echo '*nat'
    echo ":$chain - [0:0]"
    echo "-A $chain -o lo -j RETURN"
    for uid in $uids; do
        echo "-A $chain -m owner --uid-owner $uid -j RETURN"
    done
    for address in $exclude; do
        case $1$address in
        6*:* | 4*.*) echo "-A $chain -d $address -j RETURN" ;;
        esac
    done
    for item in $left; do
        echo "-A $chain -p tcp -m tcp --dport $item -j RETURN"
    done
    for who in ${only:-everybody}; do
        owner=" -m owner --uid-owner $who"
        if [ "$who" = everybody ]; then owner=''; fi
        for item in $tcp; do
            echo "-A $chain -p tcp -m tcp --dport $item$owner -j REDIRECT --to-ports $port"
        done
        if [ "$quic" = count ]; then
            echo "-A $chain -p udp -m udp --dport 443$owner -j REDIRECT --to-ports $port"
        fi
    done
    echo 'COMMIT'
}

remove() { # PROGRAM
    while "$1" -w 10 -t nat -D OUTPUT -j "$chain" 2>/dev/null; do :; done
    "$1" -w 10 -t nat -F "$chain" 2>/dev/null || return 0
    "$1" -w 10 -t nat -X "$chain"
}

apply() { # FAMILY PROGRAM
    rules "$1" | "$2-restore" -w 10 --noflush
    "$2" -w 10 -t nat -C OUTPUT -j "$chain" 2>/dev/null || "$2" -w 10 -t nat -I OUTPUT 1 -j "$chain"
    echo "IPv$1: TCP $redirected to port $port, but for uid$uids"
}

if [ "$action" != remove ]; then
    [ -n "$uids" ] || fail "--uid is missing: without it Sekisho's own connections would come back to it"
    [ "${port:-0}" -gt 0 ] || fail "--port is missing"
fi
for family in $families; do
    program=$ipv4
    if [ "$family" = 6 ]; then program=$ipv6; fi
    if [ "$action" = print ]; then
        rules "$family"
        continue
    fi
    if [ "$family" = 6 ] && [ ! -e /proc/net/if_inet6 ]; then
        echo "IPv6: this kernel has none"
        continue
    fi
    command -v "$program" >/dev/null || fail "$program is not installed (Debian: apt-get install iptables)"
    if [ "$action" = remove ]; then remove "$program"; else apply "$family" "$program"; fi
done

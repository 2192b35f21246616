#!/bin/sh
# The greeting of an SSH server and nothing more, on stdin and stdout.
printf 'SSH-2.0-lab\r\n'
exec cat >/dev/null

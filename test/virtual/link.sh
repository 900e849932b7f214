#!/bin/sh
# SPDX-License-Identifier: MIT
# Link the library's objects and the scenes into one object for a virtual build (virtual.h): its
# static memory in one section, and all it asks of the system renamed, but for what is harmless.
#
#   link.sh OUTPUT OBJECT...
set -eu
output=$1
shift
harmless='memcpy|memmove|memset|memcmp|strcmp|strcpy|strlen|strncpy|strchr|snprintf|vsnprintf|qsort'
harmless="$harmless|stderr|environ|__environ|__errno_location|__sched_cpucount|sigdelset|sigemptyset"
harmless="$harmless|sigfillset|sigaddset|sigismember|sigpending|sigtimedwait"
harmless="$harmless|_GLOBAL_OFFSET_TABLE_|__start_.*|__stop_.*|__tsan_.*|virtual_.*"

ld -r -o "$output" "$@"
nm -u "$output" | awk '{ print $2 }' | grep -Evx "$harmless" | sed 's/.*/& virtual_&/' >"$output.names"
objcopy --redefine-syms="$output.names" --localize-hidden "$output"
objcopy --set-section-flags .bss=alloc,load,contents,data "$output"
objcopy --rename-section .bss=asi_data,alloc,load,contents,data \
    --rename-section .data=asi_data,alloc,load,contents,data "$output"

# SPDX-License-Identifier: MIT
# The labelled atomic accesses of C, C++ and Promela files: one line for each,
#
#     file line label kind orders         mailbox.c 94 M1,M2 CAS acq_rel,relaxed
#
# A label is what a comment begins with, behind the access or alone in the line before it: M1, or
# M1, M2.
function end_of(text, at,   depth, c) { # of the arguments that open at AT
    for (depth = 0; at <= length(text); at++) {
        c = substr(text, at, 1)
        if (c == "(") depth++
        if (c == ")" && --depth == 0) return at
    }
    return 0
}
function orders(kind, list,   part, n) {
    gsub(/[ \t]/, "", list)
    n = split(list, part, ",")
    return kind ~ /^cas/ ? part[n - 1] "," part[n] : part[n]
}
function label_in(line,   text) {
    if (!match(line, /\/\* [A-Z][0-9]+(, [A-Z][0-9]+)*[ :;,]/)) return ""
    text = substr(line, RSTART + 3, RLENGTH - 4)
    gsub(/ /, "", text)
    return text
}
FNR == 1 { inside = 0; before = ""; held = "" }
/^#define/ { next }
{
    label = label_in($0)
    code = $0
    gsub(/\/\*[^*]*\*\//, "", code)
    if (inside) {
        if (!sub(/.*\*\//, "", code)) next
        inside = 0
    }
    if (sub(/\/\*.*/, "", code)) inside = 1
    if (code ~ /^[ \t]*$/ && held == "") { before = label; next }
    if (held == "") first = FNR
    code = held code
    held = ""
    if (label == "") label = before
    rest = code
    count = 0
    while (match(rest, /asi_(load|store|exchange|add|sub|or|and|cas_weak|cas_strong)\(/)) {
        kind = substr(rest, RSTART + 4, RLENGTH - 5)
        last = end_of(rest, RSTART + RLENGTH - 1)
        if (!last) { held = code " "; break } # goes on in the next line
        found[++count] = (kind ~ /^cas/ ? "CAS" : kind) " " \
            orders(kind, substr(rest, RSTART + RLENGTH, last - RSTART - RLENGTH))
        rest = substr(rest, RSTART + RLENGTH)
    }
    if (held != "") { if (label != "") before = label; next }
    name = FILENAME
    sub(/.*\//, "", name)
    for (i = 1; i <= count; i++) if (label != "") print name, first, label, found[i]
    before = ""
}

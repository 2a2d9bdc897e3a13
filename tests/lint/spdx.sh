#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
#
# spdx.sh - the licence is named in the first line of every source file; in the second
# of a script, after #!.
set -eu
cd "$(dirname "$0")/../.."
find . \( -path ./build -o -path ./.git \) -prune -o -type f \( -name '*.[ch]' \
	-o -name '*.py' -o -name '*.sh' -o -name '*.mk' -o -name Makefile -o -path './.ci/*' \) \
	-print | sort | xargs awk '
FNR == 1 { named = 0 }
FNR <= 2 && /SPDX-License-Identifier: BSD-2-Clause OR GPL-2\.0-only/ {
	named = FNR == 1 || first ~ /^#!/
}
FNR == 1 { first = $0 }
FNR == 2 && !named { print FILENAME ": no SPDX line where it belongs"; bad = 1 }
END { exit bad }'

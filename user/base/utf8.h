/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * utf8.h - text for those who take UTF-8 only, such as readers of JSON.
 *
 * Rule files may be in any encoding: ids and comments in GB18030 are usual.
 */
#ifndef G5X_BASE_UTF8_H
#define G5X_BASE_UTF8_H

/** utf8_clean() - every byte that is not part of a valid sequence becomes '?' */
void utf8_clean(char *text);

#endif /* G5X_BASE_UTF8_H */

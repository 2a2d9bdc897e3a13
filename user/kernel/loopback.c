// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/* loopback.c - see loopback.h. */
#include "kernel/loopback.h"

#include <arpa/inet.h>
#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"

int loopback_pair(int *ret_near, int *ret_far)
{
	struct sockaddr_in in4 = {
		.sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	struct sockaddr *sa = (struct sockaddr *)&in4;
	socklen_t len = sizeof(in4);
	auto_close int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	auto_close int near = -1;
	int far;

	if (listener < 0 || bind(listener, sa, len) || listen(listener, 1) ||
	    getsockname(listener, sa, &len))
		return -errno;
	near = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (near < 0 || connect(near, sa, len))
		return -errno;
	far = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	if (far < 0)
		return -errno;

	*ret_near = take_fd(near);
	*ret_far = far;
	return 0;
}

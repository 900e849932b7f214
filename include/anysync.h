/* SPDX-License-Identifier: MIT */
/* Everything of anysync.  Include this one, or the headers below one by one. */
#ifndef ANYSYNC_H
#define ANYSYNC_H

#include <anysync/base.h>
#include <anysync/blocking.h>
#include <anysync/callback.h>
#include <anysync/cancel.h>
#include <anysync/channel.h>
#include <anysync/error.h>
#include <anysync/event.h>
#include <anysync/executor.h>
#include <anysync/file.h>
#include <anysync/future.h>
#include <anysync/generator.h>
#include <anysync/generator_typed.h>
#include <anysync/group.h>
#include <anysync/io.h>
#include <anysync/manager.h>
#include <anysync/mutex.h>
#include <anysync/net.h>
#include <anysync/offload.h>
#include <anysync/port.h>
#include <anysync/process.h>
#include <anysync/resolve.h>
#include <anysync/signal.h>
#include <anysync/stream.h>
#include <anysync/task.h>
#include <anysync/transport.h>
#include <anysync/typed.h>
#include <anysync/typed_parts.h>
#include <anysync/vars.h>

#endif

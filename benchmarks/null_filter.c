/*
 * The fastest filter that libmilter allows: every stage has a callback, none does anything.
 * It is the yardstick of benchmarks/run.py.
 *
 *     null_filter SOCKET [--data-reply]
 *
 * SOCKET is in libmilter's syntax: unix:/path or inet:port@127.0.0.1. Replies are negotiated away
 * (SMFIP_NR_*) wherever the MTA offers it, but for body chunks, whose reply is the only back-pressure
 * there is. --data-reply keeps the reply to DATA too: over TCP its absence costs 40 ms a mail, as
 * Postfix sets no TCP_NODELAY and the headers then wait for a delayed acknowledgement.
 */
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <libmilter/mfapi.h>
#include <libmilter/mfdef.h>

#define BACKLOG 4096

static unsigned long wanted_steps = SMFIP_NR_CONN | SMFIP_NR_HELO | SMFIP_NR_MAIL | SMFIP_NR_RCPT
    | SMFIP_NR_DATA | SMFIP_NR_UNKN | SMFIP_NR_HDR | SMFIP_NR_EOH | SMFIP_HDR_LEADSPC | SMFIP_SKIP;

/* NOREPLY is only lawful where this connection was granted the stage's bit. */
static sfsistat go_on(SMFICTX *ctx, unsigned long no_reply_bit)
{
    uintptr_t granted = (uintptr_t) smfi_getpriv(ctx);

    return granted & no_reply_bit ? SMFIS_NOREPLY : SMFIS_CONTINUE;
}

static sfsistat on_negotiate(SMFICTX *ctx,
    unsigned long actions, unsigned long steps, unsigned long spare2, unsigned long spare3,
    unsigned long *use_actions, unsigned long *use_steps, unsigned long *use2, unsigned long *use3)
{
    (void) spare2;
    (void) spare3;
    *use_actions = actions;
    *use_steps = steps & wanted_steps;
    *use2 = *use3 = 0;
    smfi_setpriv(ctx, (void *) (uintptr_t) *use_steps);
    return SMFIS_CONTINUE;
}

static sfsistat on_connect(SMFICTX *ctx, char *name, _SOCK_ADDR *address)
{
    (void) name;
    (void) address;
    return go_on(ctx, SMFIP_NR_CONN);
}

static sfsistat on_helo(SMFICTX *ctx, char *name)
{
    (void) name;
    return go_on(ctx, SMFIP_NR_HELO);
}

static sfsistat on_envfrom(SMFICTX *ctx, char **arguments)
{
    (void) arguments;
    return go_on(ctx, SMFIP_NR_MAIL);
}

static sfsistat on_envrcpt(SMFICTX *ctx, char **arguments)
{
    (void) arguments;
    return go_on(ctx, SMFIP_NR_RCPT);
}

static sfsistat on_data(SMFICTX *ctx)
{
    return go_on(ctx, SMFIP_NR_DATA);
}

static sfsistat on_unknown(SMFICTX *ctx, const char *command)
{
    (void) command;
    return go_on(ctx, SMFIP_NR_UNKN);
}

static sfsistat on_header(SMFICTX *ctx, char *name, char *value)
{
    (void) name;
    (void) value;
    return go_on(ctx, SMFIP_NR_HDR);
}

static sfsistat on_eoh(SMFICTX *ctx)
{
    return go_on(ctx, SMFIP_NR_EOH);
}

static sfsistat on_body(SMFICTX *ctx, unsigned char *chunk, size_t length)
{
    (void) ctx;
    (void) chunk;
    (void) length;
    return SMFIS_CONTINUE;
}

static sfsistat on_event(SMFICTX *ctx) /* end of message, abort, close */
{
    (void) ctx;
    return SMFIS_CONTINUE;
}

int main(int argc, char **argv)
{
    struct smfiDesc filter = {
        .xxfi_name = "null",
        .xxfi_version = SMFI_VERSION,
        .xxfi_flags = SMFI_CURR_ACTS,
        .xxfi_connect = on_connect,
        .xxfi_helo = on_helo,
        .xxfi_envfrom = on_envfrom,
        .xxfi_envrcpt = on_envrcpt,
        .xxfi_header = on_header,
        .xxfi_eoh = on_eoh,
        .xxfi_body = on_body,
        .xxfi_eom = on_event,
        .xxfi_abort = on_event,
        .xxfi_close = on_event,
        .xxfi_unknown = on_unknown,
        .xxfi_data = on_data,
        .xxfi_negotiate = on_negotiate,
    };

    if (argc < 2 || argc > 3 || (argc == 3 && strcmp(argv[2], "--data-reply") != 0)) {
        fprintf(stderr, "usage: %s SOCKET [--data-reply]\n", argv[0]);
        return 2;
    }
    if (argc == 3)
        wanted_steps &= ~SMFIP_NR_DATA;
    if (smfi_setconn(argv[1]) != MI_SUCCESS || smfi_setbacklog(BACKLOG) != MI_SUCCESS
        || smfi_register(filter) != MI_SUCCESS || smfi_opensocket(1) != MI_SUCCESS) {
        fprintf(stderr, "%s: cannot serve %s\n", argv[0], argv[1]);
        return 1;
    }
    return smfi_main() == MI_SUCCESS ? 0 : 1;
}

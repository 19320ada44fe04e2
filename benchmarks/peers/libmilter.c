/* A milter on Sendmail's libmilter: every callback answers "continue", the last one adds a header field. */
#include <libmilter/mfapi.h>
#include <stdio.h>
#include <stdlib.h>

static sfsistat on_connect(SMFICTX *ctx, char *host, _SOCK_ADDR *addr) { return SMFIS_CONTINUE; }
static sfsistat on_helo(SMFICTX *ctx, char *name) { return SMFIS_CONTINUE; }
static sfsistat on_mail(SMFICTX *ctx, char **args) { return SMFIS_CONTINUE; }
static sfsistat on_rcpt(SMFICTX *ctx, char **args) { return SMFIS_CONTINUE; }
static sfsistat on_data(SMFICTX *ctx) { return SMFIS_CONTINUE; }
static sfsistat on_header(SMFICTX *ctx, char *name, char *value) { return SMFIS_CONTINUE; }
static sfsistat on_eoh(SMFICTX *ctx) { return SMFIS_CONTINUE; }
static sfsistat on_body(SMFICTX *ctx, unsigned char *chunk, size_t size) { return SMFIS_CONTINUE; }
static sfsistat on_eom(SMFICTX *ctx)
{
    return smfi_addheader(ctx, "X-Bench", "1") == MI_SUCCESS ? SMFIS_CONTINUE : SMFIS_TEMPFAIL;
}
static sfsistat on_abort(SMFICTX *ctx) { return SMFIS_CONTINUE; }
static sfsistat on_close(SMFICTX *ctx) { return SMFIS_CONTINUE; }
static sfsistat on_unknown(SMFICTX *ctx, const char *command) { return SMFIS_CONTINUE; }

int main(int argc, char **argv)
{
    struct smfiDesc filter = {
        "bench", SMFI_VERSION, SMFIF_ADDHDRS, on_connect, on_helo, on_mail, on_rcpt, on_header,
        on_eoh, on_body, on_eom, on_abort, on_close, on_unknown, on_data, NULL,
    };
    if (argc != 2 || smfi_setconn(argv[1]) == MI_FAILURE || smfi_register(filter) == MI_FAILURE) {
        fprintf(stderr, "usage: libmilter SOCKET\n");
        return EXIT_FAILURE;
    }
    smfi_setbacklog(4096);
    return smfi_main() == MI_SUCCESS ? EXIT_SUCCESS : EXIT_FAILURE;
}

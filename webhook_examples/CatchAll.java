// Send what is meant for any address of one domain to a single mailbox.
//
//     java webhook_examples/CatchAll.java [PORT]
//
// The MTA must take mail for all addresses of that domain; Postfix: `smtpd_reject_unlisted_recipient = no`.

import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.nio.charset.StandardCharsets;
import java.util.concurrent.Executors;
import java.util.regex.Pattern;

public class CatchAll {
    static final String MAILBOX = "sales@site.example";

    // Java has no JSON parser of its own, and for one fact it needs none: a quote inside of a JSON string is always
    // escaped, so nothing that a client says can look like this. An address with quotes or blanks in it stays as it is.
    static final Pattern RECIPIENT = Pattern.compile(
        "\"data\":\\s*\\{\\s*\"address\":\\s*\"([!#-\\[\\]-~]+@shop\\.example)\"", Pattern.CASE_INSENSITIVE);

    static final String REDIRECT = """
        {"changes": [{"op": "delete_rcpt", "address": "%s"}, {"op": "add_rcpt", "address": "%s"}]}
        """;

    static String rcpt(String call) {
        var found = RECIPIENT.matcher(call);
        return found.find() ? REDIRECT.formatted(found.group(1), MAILBOX) : "{}";
    }

    static void answer(HttpExchange exchange) throws IOException {
        try (exchange) {
            var call = new String(exchange.getRequestBody().readAllBytes(), StandardCharsets.UTF_8);
            var answer = rcpt(call).getBytes(StandardCharsets.UTF_8);
            exchange.getResponseHeaders().set("Content-Type", "application/json");
            exchange.sendResponseHeaders(200, answer.length);
            exchange.getResponseBody().write(answer);
        }
    }

    public static void main(String[] arguments) throws IOException {
        System.setProperty("sun.net.httpserver.nodelay", "true"); // or each answer waits 40 ms
        int port = arguments.length > 0 ? Integer.parseInt(arguments[0]) : 8000;
        var server = HttpServer.create(new InetSocketAddress(InetAddress.getLoopbackAddress(), port), 0);
        server.createContext("/milter", CatchAll::answer);
        server.setExecutor(Executors.newFixedThreadPool(16));
        server.start();
        System.out.println("listening on http://127.0.0.1:" + server.getAddress().getPort() + "/milter");
    }
}

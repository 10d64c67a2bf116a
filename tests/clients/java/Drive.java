import com.alibaba.fastjson2.JSONObject;
import com.alibaba.fastjson2.JSONWriter.Feature;
import com.alibaba.otter.canal.client.CanalConnector;
import com.alibaba.otter.canal.client.CanalConnectors;
import com.alibaba.otter.canal.client.impl.SimpleCanalConnector;
import com.alibaba.otter.canal.protocol.CanalEntry.Column;
import com.alibaba.otter.canal.protocol.CanalEntry.Entry;
import com.alibaba.otter.canal.protocol.CanalEntry.EntryType;
import com.alibaba.otter.canal.protocol.CanalEntry.EventType;
import com.alibaba.otter.canal.protocol.CanalEntry.Header;
import com.alibaba.otter.canal.protocol.CanalEntry.Pair;
import com.alibaba.otter.canal.protocol.CanalEntry.RowChange;
import com.alibaba.otter.canal.protocol.CanalEntry.RowData;
import com.alibaba.otter.canal.protocol.Message;
import com.alibaba.otter.canal.protocol.exception.CanalClientException;
import com.google.protobuf.ByteString;
import java.io.BufferedOutputStream;
import java.io.FileDescriptor;
import java.io.FileOutputStream;
import java.io.PrintStream;
import java.net.InetSocketAddress;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/**
 * Drives the unmodified Java client against a server, and prints what that client saw. The options
 * and the output are described in tests/README.md and are the same for the Python client.
 */
public final class Drive {
    private static final int EXIT_INCOMPLETE = 3;
    private static final long POLL_MILLIS = 5;

    private final Map<String, String> options;
    private final PrintStream output;
    private final boolean counting;
    private long entries, rows, bytes, firstNanos, lastNanos;
    private boolean markerSeen;

    private Drive(Map<String, String> options, PrintStream output) {
        this.options = options;
        this.output = output;
        this.counting = options.containsKey("count");
    }

    public static void main(String[] arguments) throws Exception {
        Map<String, String> options = new HashMap<>();
        for (int i = 0; i < arguments.length; i++) {
            String name = arguments[i].substring(2);
            options.put(name, name.equals("count") ? "" : arguments[++i]);
        }
        PrintStream output = new PrintStream(
            new BufferedOutputStream(new FileOutputStream(FileDescriptor.out), 1 << 16), false, StandardCharsets.UTF_8);
        // Whatever libraries print must not mix with the changes.
        System.setOut(System.err);
        System.exit(new Drive(options, output).run());
    }

    private int run() throws Exception {
        if (options.containsKey("zookeeper")) return follow();
        String server = options.get("server");
        int colon = server.lastIndexOf(':');
        InetSocketAddress address =
            new InetSocketAddress(server.substring(0, colon), Integer.parseInt(server.substring(colon + 1)));
        SimpleCanalConnector client =
            new SimpleCanalConnector(address, "", "", options.getOrDefault("destination", "example"));
        client.setLazyParseEntry(counting);
        client.connect();
        subscribe(client);
        client.rollback();
        System.err.println("SUBSCRIBED");
        drive(client);
        client.disconnect();
        return finish();
    }

    /** The client of a cluster gives up after a few attempts of its own: applications begin again, and so does this. */
    private int follow() throws Exception {
        String destination = options.getOrDefault("destination", "example");
        long idleNanos = Long.parseLong(options.getOrDefault("idle-ms", "20000")) * 1_000_000L;
        lastNanos = System.nanoTime();
        while (!complete() && System.nanoTime() - lastNanos <= idleNanos) {
            CanalConnector client = CanalConnectors.newClusterConnector(options.get("zookeeper"), destination, "", "");
            try {
                client.connect();
                client.subscribe(options.getOrDefault("filter", ""));
                client.rollback();
                System.err.println("SUBSCRIBED");
                drive(client);
            } catch (CanalClientException failure) {
                System.err.println(failure);
            } finally {
                client.disconnect();
            }
        }
        return finish();
    }

    private int finish() {
        (counting ? output : System.err).println(summary());
        output.flush();
        boolean wanted = options.containsKey("rows") || options.containsKey("until");
        return wanted && !complete() ? EXIT_INCOMPLETE : 0;
    }

    /** The connector has no setter for its client id, which is an attribute of its private identity. */
    private void subscribe(SimpleCanalConnector client) throws Exception {
        if (options.containsKey("client-id")) {
            var field = SimpleCanalConnector.class.getDeclaredField("clientIdentity");
            field.setAccessible(true);
            var identity = (com.alibaba.otter.canal.protocol.ClientIdentity) field.get(client);
            identity.setClientId(Short.parseShort(options.get("client-id")));
        }
        if (options.containsKey("filter")) {
            client.subscribe(options.get("filter"));
        } else {
            client.subscribe();
        }
    }

    private void drive(CanalConnector client) throws Exception {
        int size = Integer.parseInt(options.getOrDefault("batch", "1000"));
        long idleNanos = Long.parseLong(options.getOrDefault("idle-ms", "20000")) * 1_000_000L;
        String mode = options.getOrDefault("mode", "ack");
        boolean rolledBack = false;
        lastNanos = System.nanoTime();
        while (!complete() && System.nanoTime() - lastNanos <= idleNanos) {
            Message message = client.getWithoutAck(size);
            List<Entry> batch = message.isRaw() ? null : message.getEntries();
            int count = message.isRaw() ? message.getRawEntries().size() : batch.size();
            if (message.getId() <= 0 || count == 0) {
                Thread.sleep(POLL_MILLIS);
                continue;
            }
            // In mode "rollback", each batch is refused once and must come again.
            if (mode.equals("rollback") && !rolledBack) {
                client.rollback(message.getId());
                rolledBack = true;
                continue;
            }
            rolledBack = false;
            if (firstNanos == 0) firstNanos = System.nanoTime();
            if (message.isRaw()) {
                for (ByteString raw : message.getRawEntries()) count(raw);
            } else {
                for (Entry entry : batch) print(entry);
            }
            output.flush();
            if (!mode.equals("hold")) client.ack(message.getId());
            lastNanos = System.nanoTime();
        }
    }

    private void count(ByteString raw) throws Exception {
        Entry entry = Entry.parseFrom(raw);
        note(entry, raw.size());
        if (entry.getEntryType() != EntryType.ROWDATA) return;
        for (Pair property : entry.getHeader().getPropsList()) {
            if (property.getKey().equals("rowsCount")) rows += Long.parseLong(property.getValue());
        }
    }

    private void note(Entry entry, int size) {
        entries++;
        bytes += size;
        Header header = entry.getHeader();
        boolean marker = (header.getSchemaName() + "." + header.getTableName()).equals(options.get("until"));
        boolean insert = entry.getEntryType() == EntryType.ROWDATA && header.getEventType() == EventType.INSERT;
        markerSeen |= marker && insert;
    }

    private void print(Entry entry) throws Exception {
        note(entry, entry.getSerializedSize());
        if (entry.getEntryType() != EntryType.ROWDATA) return;
        RowChange change = RowChange.parseFrom(entry.getStoreValue());
        if (change.getRowDatasCount() == 0) {
            JSONObject line = head(entry.getHeader(), change);
            line.put("ddl", change.getIsDdl());
            line.put("sql", change.getSql());
            println(line);
        }
        for (RowData row : change.getRowDatasList()) {
            rows++;
            boolean inserted = row.getAfterColumnsCount() > 0;
            List<Column> columns = inserted ? row.getAfterColumnsList() : row.getBeforeColumnsList();
            JSONObject line = head(entry.getHeader(), change);
            line.put("before", values(row.getBeforeColumnsList()));
            line.put("after", values(row.getAfterColumnsList()));
            List<String> keys = new ArrayList<>();
            List<String> updated = new ArrayList<>();
            JSONObject types = new JSONObject();
            for (Column column : columns) {
                if (column.getIsKey()) keys.add(column.getName());
                if (inserted && column.getUpdated()) updated.add(column.getName());
                types.put(column.getName(), column.getMysqlType());
            }
            line.put("keys", keys);
            line.put("updated", updated);
            line.put("mysqlType", types);
            println(line);
        }
    }

    private static JSONObject head(Header header, RowChange change) {
        JSONObject line = new JSONObject();
        line.put("kind", change.getEventType().name());
        line.put("schema", header.getSchemaName());
        line.put("table", header.getTableName());
        line.put("at", header.getLogfileName() + ":" + header.getLogfileOffset());
        return line;
    }

    private static JSONObject values(List<Column> columns) {
        JSONObject values = new JSONObject();
        for (Column column : columns) values.put(column.getName(), column.getIsNull() ? null : column.getValue());
        return values;
    }

    private void println(JSONObject line) {
        output.print(line.toJSONString(Feature.WriteNulls));
        output.print('\n');
    }

    private boolean complete() {
        long wanted = Long.parseLong(options.getOrDefault("rows", "0"));
        return markerSeen || wanted > 0 && rows >= wanted;
    }

    private String summary() {
        JSONObject summary = new JSONObject();
        summary.put("entries", entries);
        summary.put("rows", rows);
        summary.put("bytes", bytes);
        summary.put("seconds", firstNanos == 0 ? 0.0 : (lastNanos - firstNanos) / 1_000_000 / 1000.0);
        return summary.toJSONString();
    }
}

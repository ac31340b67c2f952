import java.io.StringReader;
import java.io.StringWriter;
import java.sql.*;
import java.util.*;
import org.postgresql.PGConnection;
import org.postgresql.PGNotification;
import org.postgresql.copy.CopyManager;

/** pgjdbc: extended and simple protocol, server-prepared statements, binary transfer, batches, COPY, cancel. */
public class Jdbc {
    static String url(String options) {
        return "jdbc:postgresql://" + System.getenv("PGHOST") + ":" + System.getenv("PGPORT") + "/"
            + System.getenv("PGDATABASE") + "?user=" + System.getenv("PGUSER") + options;
    }

    static void rows(String title, ResultSet found) throws SQLException {
        System.out.println("-- " + title);
        int columns = found.getMetaData().getColumnCount();
        while (found.next()) {
            StringBuilder line = new StringBuilder();
            for (int n = 1; n <= columns; n++) line.append(n > 1 ? " | " : "").append(show(found.getObject(n)));
            System.out.println(line);
        }
        found.close();
    }

    static String show(Object value) throws SQLException {
        if (value == null) return "null";
        String text = value instanceof byte[] bytes ? Arrays.toString(bytes)
            : value instanceof java.sql.Array array ? Arrays.deepToString((Object[]) array.getArray())
            : value instanceof SQLXML xml ? xml.getString() : value.toString();
        String kind = value instanceof java.sql.Array ? "Array" : value instanceof SQLXML ? "SQLXML" : value.getClass().getSimpleName();
        return text + ":" + kind;
    }

    interface Work { void run() throws Exception; }

    static void failing(Work work) throws Exception {
        try {
            work.run();
            System.out.println("no error");
        } catch (SQLException error) {
            System.out.println(error.getClass().getSimpleName() + " " + error.getSQLState());
        }
    }

    static void common(String options) throws Exception {
        System.out.println("== " + options);
        try (Connection connection = DriverManager.getConnection(url(options)); Statement statement = connection.createStatement()) {
            statement.execute("CREATE TABLE jdbc_common (id bigint PRIMARY KEY, name text, amount double precision)");
            try (PreparedStatement insert = connection.prepareStatement("INSERT INTO jdbc_common VALUES (?, ?, ?)")) {
                Object[][] values = {{1L, "one", 1.5}, {2L, "héllo 日本語 ✈", null}, {3L, null, -2.25}};
                for (Object[] value : values) {
                    insert.setLong(1, (Long) value[0]);
                    insert.setString(2, (String) value[1]);
                    if (value[2] == null) insert.setNull(3, Types.DOUBLE); else insert.setDouble(3, (Double) value[2]);
                    insert.addBatch();
                }
                System.out.println(Arrays.toString(insert.executeBatch()));
            }
            try (PreparedStatement one = connection.prepareStatement("SELECT name, amount FROM jdbc_common WHERE id = ?")) {
                for (int round = 0; round < 8; round++) {
                    one.setLong(1, 1 + round % 2);
                    rows("one", one.executeQuery());
                    rows("all", statement.executeQuery("SELECT id, name, amount FROM jdbc_common ORDER BY id"));
                }
            }
            System.out.println(statement.executeUpdate("UPDATE jdbc_common SET amount = 7 WHERE id = 3"));
            connection.setAutoCommit(false);
            statement.executeUpdate("UPDATE jdbc_common SET name = 'changed' WHERE id = 1");
            Savepoint savepoint = connection.setSavepoint("s");
            statement.executeUpdate("DELETE FROM jdbc_common");
            rows("none left", statement.executeQuery("SELECT count(*) FROM jdbc_common"));
            connection.rollback(savepoint);
            rows("changed", statement.executeQuery("SELECT name FROM jdbc_common ORDER BY id"));
            connection.rollback();
            rows("as before", statement.executeQuery("SELECT name FROM jdbc_common ORDER BY id"));
            connection.commit();
            failing(() -> statement.executeQuery("SELECT * FROM no_such_table"));
            failing(() -> statement.executeQuery("SELECT 1"));
            connection.rollback();
            failing(() -> statement.executeUpdate("INSERT INTO jdbc_common VALUES (1, 'again', 0)"));
            connection.rollback();
            connection.setAutoCommit(true);
            statement.execute("DROP TABLE jdbc_common");
        }
    }

    static void full(String options) throws Exception {
        System.out.println("== " + options);
        try (Connection connection = DriverManager.getConnection(url(options)); Statement statement = connection.createStatement();
             Connection other = DriverManager.getConnection(url(options)); Statement watcher = other.createStatement()) {
            String types = "id, small, big, single, double, flag, fixed, varying, words, bytes, key, doc, docb, address, bits, numbers, names, feeling, range, spot, xml";
            try (PreparedStatement all = connection.prepareStatement("SELECT " + types + " FROM every_type ORDER BY id");
                 PreparedStatement dates = connection.prepareStatement("SELECT exact, day, moment, stamp, stamp_zone, span, place, money::numeric FROM every_type WHERE id = ?")) {
                for (int round = 0; round < 7; round++) {
                    rows("types", all.executeQuery());
                    dates.setInt(1, 1);
                    rows("dates", dates.executeQuery());
                }
                ResultSetMetaData data = all.getMetaData();
                for (int n = 1; n <= data.getColumnCount(); n++) System.out.print(data.getColumnName(n) + ":" + data.getColumnTypeName(n) + " ");
                System.out.println();
            }
            connection.setAutoCommit(false);
            try (PreparedStatement cursor = connection.prepareStatement("SELECT id, name FROM parent WHERE id > ? ORDER BY id")) {
                cursor.setFetchSize(6);
                for (int round = 0; round < 7; round++) {
                    cursor.setInt(1, 3);
                    rows("fetched by portal", cursor.executeQuery());
                }
            }
            connection.commit();
            connection.setAutoCommit(true);
            statement.execute("CREATE TABLE jdbc_copied (id serial, v text)");
            try (PreparedStatement insert = connection.prepareStatement("INSERT INTO jdbc_copied (v) VALUES (?)", Statement.RETURN_GENERATED_KEYS)) {
                for (String v : new String[] {"a", "b", "c"}) {
                    insert.setString(1, v);
                    insert.addBatch();
                }
                insert.executeBatch();
                rows("generated", insert.getGeneratedKeys());
            }
            CopyManager copy = connection.unwrap(PGConnection.class).getCopyAPI();
            System.out.println(copy.copyIn("COPY jdbc_copied FROM STDIN", new StringReader("10\tten\n11\t\\N\n")));
            StringWriter output = new StringWriter();
            System.out.println(copy.copyOut("COPY (SELECT * FROM jdbc_copied ORDER BY id) TO STDOUT CSV", output));
            System.out.println(output);
            failing(() -> copy.copyIn("COPY jdbc_copied FROM STDIN", new StringReader("x\tten\n")));
            rows("copied", statement.executeQuery("SELECT count(*) FROM jdbc_copied"));
            statement.execute("DROP TABLE jdbc_copied");
            System.out.println(statement.execute("SELECT 1; SELECT name FROM parent WHERE id = 2; UPDATE steps_none SET a = 1") );
        } catch (SQLException error) {
            System.out.println("several: " + error.getSQLState());
        }
        try (Connection connection = DriverManager.getConnection(url(options)); Statement statement = connection.createStatement();
             Connection other = DriverManager.getConnection(url(options)); Statement watcher = other.createStatement()) {
            System.out.println(statement.execute("SELECT 1; SELECT name FROM parent WHERE id = 2; SELECT 3"));
            do rows("several", statement.getResultSet()); while (statement.getMoreResults());
            statement.execute("SELECT say('hello')");
            for (SQLWarning warning = statement.getWarnings(); warning != null; warning = warning.getNextWarning()) System.out.println(warning.getMessage());
            statement.execute("LISTEN jdbc");
            watcher.execute("NOTIFY jdbc, 'from another'");
            PGNotification[] heard = null;
            while (heard == null || heard.length == 0) heard = connection.unwrap(PGConnection.class).getNotifications(10000);
            for (PGNotification one : heard) System.out.println(one.getName() + " " + one.getParameter() + "\nidentity " + (one.getPID() == other.unwrap(PGConnection.class).getBackendPID()));
            Thread canceller = new Thread(() -> {
                try {
                    while (true) {
                        ResultSet found = watcher.executeQuery("SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query LIKE 'SELECT pg_sleep(6%' AND datname = current_database()");
                        found.next();
                        if (found.getInt(1) > 0) break;
                        Thread.sleep(10);
                    }
                    statement.cancel();
                } catch (Exception error) { System.out.println(error); }
            });
            canceller.start();
            failing(() -> statement.executeQuery("SELECT pg_sleep(60)"));
            canceller.join();
            statement.setQueryTimeout(1);
            failing(() -> statement.executeQuery("SELECT pg_sleep(61)"));
            statement.setQueryTimeout(0);
            rows("usable", statement.executeQuery("SELECT 'usable'"));
            connection.setAutoCommit(false);
            connection.setTransactionIsolation(Connection.TRANSACTION_SERIALIZABLE);
            connection.setReadOnly(true);
            rows("level", statement.executeQuery("SHOW transaction_isolation"));
            failing(() -> statement.executeUpdate("UPDATE parent SET name = 'x'"));
            connection.rollback();
            connection.setReadOnly(false);
            connection.setTransactionIsolation(Connection.TRANSACTION_READ_COMMITTED);
            try (ResultSet found = statement.executeQuery("SELECT lo_from_bytea(0, 'large'::bytea)")) {
                found.next();
                var large = connection.unwrap(PGConnection.class).getLargeObjectAPI();
                var object = large.open(found.getLong(1));
                System.out.println(new String(object.read(100)) + " " + object.size());
                object.close();
                large.delete(found.getLong(1));
            }
            connection.commit();
            DatabaseMetaData data = connection.getMetaData();
            rows("columns", data.getColumns(null, "public", "child", "%"));
            rows("keys", data.getPrimaryKeys(null, "public", "parent"));
            rows("imported", data.getImportedKeys(null, "public", "child"));
            ResultSet tables = data.getTables(null, "public", "p%", new String[] {"TABLE"});
            while (tables.next()) System.out.println(tables.getString("TABLE_NAME"));
            if (!options.contains("simple")) try (CallableStatement call = connection.prepareCall("{? = call add(?, ?)}")) {
                call.registerOutParameter(1, Types.INTEGER);
                call.setInt(2, 3);
                call.setInt(3, 4);
                call.execute();
                System.out.println(call.getInt(1));
            }
            connection.commit();
        }
    }

    public static void main(String[] arguments) throws Exception {
        String[] ways = {"", "&prepareThreshold=1&binaryTransfer=true", "&preferQueryMode=simple", "&prepareThreshold=-1", "&preferQueryMode=extendedCacheEverything"};
        for (String way : ways) {
            common(way);
            if (arguments[0].equals("full")) full(way);
        }
    }
}

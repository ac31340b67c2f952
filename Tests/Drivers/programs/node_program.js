// node-pg: simple and extended protocol, named statements, cursors, streams, notifications, cancel.
const { Client, Pool } = require("pg");
const Cursor = require("pg-cursor");
const QueryStream = require("pg-query-stream");

const rows = (title, result) => {
  console.log(`-- ${title}`);
  for (const row of result.rows || result) console.log(JSON.stringify(row));
};
const failing = async (client, query) => {
  try {
    await client.query(query);
    console.log("no error");
  } catch (error) {
    console.log(error.severity, error.code);
  }
};

async function common() {
  const client = new Client();
  await client.connect();
  await client.query("CREATE TABLE node_common (id bigint PRIMARY KEY, name text, amount double precision)");
  for (const values of [[1, "one", 1.5], [2, "héllo 日本語 ✈", null], [3, null, -2.25]])
    console.log((await client.query("INSERT INTO node_common VALUES ($1, $2, $3)", values)).rowCount);
  for (let round = 0; round < 3; round++) {
    const all = await client.query("SELECT id, name, amount FROM node_common ORDER BY id");
    console.log(all.command, all.rowCount, all.fields.map((field) => field.name).join());
    rows("all", all);
    rows("one", await client.query("SELECT name FROM node_common WHERE id = $1", [2]));
    rows("named", await client.query({ name: "by-id", text: "SELECT name, amount FROM node_common WHERE id = $1", values: [1] }));
    rows("array", await client.query({ text: "SELECT id, name FROM node_common ORDER BY id", rowMode: "array" }));
  }
  await client.query("BEGIN");
  await client.query("UPDATE node_common SET name = $1 WHERE id = 1", ["changed"]);
  await client.query("SAVEPOINT s");
  await client.query("DELETE FROM node_common");
  rows("none left", await client.query("SELECT count(*) FROM node_common"));
  await client.query("ROLLBACK TO SAVEPOINT s");
  rows("changed", await client.query("SELECT name FROM node_common ORDER BY id"));
  await client.query("ROLLBACK");
  rows("as before", await client.query("SELECT name FROM node_common ORDER BY id"));
  await failing(client, "SELECT * FROM no_such_table");
  await failing(client, "INSERT INTO node_common VALUES (1, 'again', 0)");
  await client.query("BEGIN");
  await failing(client, "SELECT * FROM no_such_table");
  await failing(client, "SELECT count(*) FROM node_common");
  await client.query("ROLLBACK");
  // Queries that are sent without waiting for the one before.
  const asked = [];
  for (let n = 0; n < 10; n++) asked.push(client.query("SELECT name FROM node_common WHERE id = $1", [1 + (n % 3)]));
  rows("queued", (await Promise.all(asked)).map((result) => result.rows[0]));
  await client.query("DROP TABLE node_common");
  await client.end();
}

async function full() {
  const client = new Client();
  client.on("notice", (notice) => console.log("notice", notice.severity, notice.message));
  await client.connect();
  const columns = "id, small, big, exact, single, double, flag, fixed, varying, words, bytes, day, moment, stamp, stamp_zone, span, key, doc, docb, address, bits, numbers, names, feeling, money, place, range, spot";
  for (let round = 0; round < 2; round++) {
    rows("types", await client.query(`SELECT ${columns} FROM every_type WHERE id <> 2 ORDER BY id`));
    rows("binary", await client.query({ text: "SELECT id, small, big, double, flag, words FROM every_type ORDER BY id", binary: true }));
    rows("several", (await client.query("SELECT 1 AS a; SELECT name FROM parent WHERE id = 2; SELECT 3 AS b")).map((result) => result.rows));
  }
  const cursor = client.query(new Cursor("SELECT id FROM parent WHERE id > $1 ORDER BY id", [3]));
  for (let part = 0; part < 5; part++) {
    rows("cursor", await cursor.read(5));
  }
  await cursor.close();
  const streamed = [];
  for await (const row of client.query(new QueryStream("SELECT id FROM parent ORDER BY id", [], { batchSize: 4 }))) streamed.push(row);
  rows("streamed", streamed);
  await client.query("SELECT say('hello')");
  const other = new Client();
  await other.connect();
  const heard = [];
  const both = new Promise((resolve) => client.on("notification", (message) => heard.push(message) === 2 && resolve()));
  await client.query("LISTEN node");
  await other.query("NOTIFY node, 'from another'");
  await client.query("SELECT pg_notify('node', 'own')");
  await both;
  for (const message of heard)
    console.log(`${message.channel} ${message.payload}\nidentity`, message.processId === other.processID ? "other" : message.processId === client.processID ? "own" : "unknown");
  const sleeping = failing(client, "SELECT pg_sleep(60)");
  for (;;) {
    const found = await other.query("SELECT count(*)::int AS n FROM pg_stat_activity WHERE state = 'active' AND query LIKE 'SELECT pg_sleep(6%' AND datname = current_database()");
    if (found.rows[0].n > 0) break;
  }
  await new Promise((resolve) => {
    const { Connection } = require("pg");
    const connection = new Connection();
    connection.once("connect", () => connection.cancel(client.processID, client.secretKey));
    connection.once("end", resolve);
    connection.connect(Number(process.env.PGPORT), process.env.PGHOST);
  });
  await sleeping;
  rows("usable", await client.query("SELECT 'usable' AS v"));
  console.log("identity", (await client.query("SELECT pg_backend_pid() AS pid")).rows[0].pid === client.processID);
  await client.end();
  await other.end();
  const pool = new Pool({ max: 3, statement_timeout: 5000, application_name: "node matrix" });
  const names = await Promise.all(Array.from({ length: 30 }, (_, n) => pool.query("SELECT name FROM parent WHERE id = $1", [1 + (n % 6)])));
  rows("pool", names.map((result) => result.rows[0]));
  rows("settings", await pool.query("SELECT current_setting('statement_timeout') AS t, current_setting('application_name') AS a"));
  await pool.end();
}

(async () => {
  await common();
  if (process.argv[2] === "full") await full();
})().catch((error) => {
  console.log(error.stack);
  process.exit(1);
});

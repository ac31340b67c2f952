import Foundation
import NIOCore
import PostgresWire
import Testing

@testable import Upstream

struct PostgreSQLUpstreamSettingsTests {
    @Test("A URL gives host, port, user, password and database")
    func url() throws {
        let settings = try PostgreSQLUpstreamSettings(
            connectionString: "postgresql://app:s%40cret@db.example:6543/shop?connect_timeout=3")
        #expect(settings.hosts == [PostgreSQLAddress(host: "db.example", port: 6543)])
        #expect(settings.user == "app")
        #expect(settings.password == Secret("s@cret"))
        #expect(settings.database == "shop")
        #expect(settings.connectTimeout == .seconds(3))
        #expect(!"\(settings)".contains("s@cret"))
    }

    @Test("Keywords and values work like a URL; what is missing is the client's")
    func keywords() throws {
        let settings = try PostgreSQLUpstreamSettings(
            connectionString: "host=127.0.0.1 connect_timeout=0 options='-c geqo=off'")
        #expect(settings.hosts == [PostgreSQLAddress(host: "127.0.0.1", port: 5432)])
        #expect(settings.user == nil)
        #expect(settings.password == nil)
        #expect(settings.database == nil)
        #expect(settings.connectTimeout == PostgreSQLUpstreamSettings.defaultConnectTimeout)
        #expect(settings.parameters == [.init(name: "options", value: "-c geqo=off")])
    }

    @Test("Several hosts keep their order; one port holds for all")
    func severalHosts() throws {
        let each = try PostgreSQLUpstreamSettings(
            connectionString: "postgresql://a:1,b,[::1]:3/db")
        #expect(
            each.hosts == [
                PostgreSQLAddress(host: "a", port: 1), PostgreSQLAddress(host: "b", port: 5432),
                PostgreSQLAddress(host: "::1", port: 3),
            ])
        let one = try PostgreSQLUpstreamSettings(connectionString: "host=a,/run/pg port=7")
        #expect(
            one.hosts == [
                PostgreSQLAddress(host: "a", port: 7), PostgreSQLAddress(host: "/run/pg", port: 7),
            ])
        #expect(one.hosts[1].unixSocketPath == "/run/pg/.s.PGSQL.7")
        #expect(one.hosts[0].unixSocketPath == nil)
    }

    @Test("Without a host libpq's own socket directory is taken")
    func defaultHost() throws {
        let settings = try PostgreSQLUpstreamSettings(connectionString: "user=app")
        #expect(settings.hosts.count == 1)
        #expect(settings.hosts.first?.unixSocketPath != nil)
    }

    @Test("A password file is read for the user that the string names, and for no other")
    func passwordFile() throws {
        let path = FileManager.default.temporaryDirectory
            .appendingPathComponent("mynah-pgpass-\(UUID().uuidString)").path
        #expect(
            FileManager.default.createFile(
                atPath: path, contents: Data("db.example:*:*:app:from file\n".utf8),
                attributes: [.posixPermissions: 0o600]))
        defer { try? FileManager.default.removeItem(atPath: path) }
        let string = "host=db.example passfile=\(path)"
        let named = try PostgreSQLUpstreamSettings(connectionString: string + " user=app")
        #expect(named.password == Secret("from file"))
        let other = try PostgreSQLUpstreamSettings(connectionString: string + " user=else")
        #expect(other.password == nil)
        #expect(try PostgreSQLUpstreamSettings(connectionString: string).password == nil)
        let given = try PostgreSQLUpstreamSettings(
            connectionString: string + " user=app password=own")
        #expect(given.password == Secret("own"))
    }

    @Test("Every sslmode that libpq knows is taken", arguments: ["disable", "allow", "prefer"])
    func modes(mode: String) throws {
        let settings = try PostgreSQLUpstreamSettings(
            connectionString: "host=a sslmode=\(mode) sslrootcert=/nowhere/root.crt")
        #expect(settings.encryption.mode.rawValue == mode)
        #expect(settings.encryption.roots == .none)
    }

    @Test("Parameters of TLS, binding and target come through")
    func security() throws {
        let settings = try PostgreSQLUpstreamSettings(
            connectionString: """
                host=a,b sslmode=require ssl_min_protocol_version=TLSv1.3 sslsni=0 \
                sslrootcert=/nowhere channel_binding=require target_session_attrs=read-write
                """)
        #expect(settings.encryption.mode == .require)
        #expect(settings.encryption.minimumVersion == .tlsv13)
        #expect(!settings.encryption.sendsServerName)
        #expect(settings.channelBinding == .require)
        #expect(settings.target == .readWrite)
        let plain = try PostgreSQLUpstreamSettings(connectionString: "host=a")
        #expect(plain.channelBinding == .prefer)
        #expect(plain.target == .any)
        #expect(plain.encryption.minimumVersion == .tlsv12)
    }

    @Test("The name of a certificate is the host's, wherever hostaddr leads")
    func hostNames() throws {
        let settings = try PostgreSQLUpstreamSettings(
            connectionString: "host=a.example,b.example hostaddr=127.0.0.1,127.0.0.2 port=1,2")
        #expect(
            settings.hosts == [
                PostgreSQLAddress(host: "127.0.0.1", port: 1, hostName: "a.example"),
                PostgreSQLAddress(host: "127.0.0.2", port: 2, hostName: "b.example"),
            ])
    }

    @Test("sslrootcert=system is what the operating system trusts, and verifies fully")
    func systemRoots() throws {
        let settings = try PostgreSQLUpstreamSettings(
            connectionString: "host=a sslrootcert=system")
        #expect(settings.encryption.mode == .verifyFull)
        #expect(settings.encryption.roots == .system)
    }

    @Test(
        "What is not supported, or wrong, is a configuration error that repeats no secret",
        arguments: [
            "host=a password=hunter2 sslmode=hunter2",
            "host=a password=hunter2 sslmode=verify-ca sslrootcert=/nowhere/hunter2",
            "host=a password=hunter2 sslmode=verify-full sslsni=0 sslrootcert=system",
            "hostaddr=127.0.0.1 password=hunter2 sslmode=verify-full sslrootcert=system",
            "host=a password=hunter2 sslmode=require sslrootcert=system",
            "host=a password=hunter2 sslcert=/nowhere/hunter2",
            "host=a password=hunter2 sslcrl=/nowhere/hunter2",
            "host=a password=hunter2 ssl_min_protocol_version=SSLv3",
            "host=a password=hunter2 ssl_min_protocol_version=TLSv1.3 "
                + "ssl_max_protocol_version=TLSv1.2",
            "host=a password=hunter2 sslsni=2",
            "host=a password=hunter2 channel_binding=hunter2",
            "host=a password=hunter2 target_session_attrs=hunter2",
            "host=a,b hostaddr=127.0.0.1 password=hunter2",
            "host=a password=hunter2 replication=database",
            "host=a password=hunter2 port=0", "host=a password=hunter2 port=x",
            "host=a password=hunter2 port=1,2", "host=a password='hunter2", "password=x hunter2",
            "postgresql://u:hunter2@[::1/db", "postgresql://u@a/db?hunter2=1",
            "host=a password=hunter2 connect_timeout=hunter2", "host=@hunter2",
            "service=hunter2-is-no-service",
        ])
    func refused(string: String) {
        let error = #expect(throws: PostgresError.self) {
            try PostgreSQLUpstreamSettings(connectionString: string)
        }
        #expect(error?.sqlState == "F0000")
        #expect(error?.severity == .fatal)
        #expect(error.map { "\($0)".contains("hunter2") } == false)
    }
}

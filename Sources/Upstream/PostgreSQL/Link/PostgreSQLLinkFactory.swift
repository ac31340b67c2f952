import NIOCore
import PostgresWire

/// Makes links to one PostgreSQL upstream.
package struct PostgreSQLLinkFactory: Sendable {
    package let settings: PostgreSQLUpstreamSettings
    private let tls: LinkTLS
    private let servers: KnownServers
    private let credentials: ClientCredentials?

    /// `onServerChanged` is called, on any event loop, when a link to a database has reached
    /// another server than the one before it. `credentials`: what clients have shown; used where the
    /// settings name no user.
    ///
    /// Throws `F0000` where a certificate cannot be used.
    package init(
        settings: PostgreSQLUpstreamSettings, credentials: ClientCredentials? = nil,
        onServerChanged: @escaping @Sendable (_ database: String) -> Void = { _ in }
    ) throws(PostgresError) {
        self.settings = settings
        self.credentials = credentials
        tls = try LinkTLS(settings.encryption)
        servers = KnownServers(
            isExclusive: settings.target == .readWrite || settings.target == .primary,
            onServerChanged: onServerChanged)
    }

    /// Reads the certificates anew. Throws `F0000`; what was in use then stays so.
    package func reloadCertificates() throws(PostgresError) {
        try tls.reload()
    }

    /// Starts connecting one link; what happens is told to `delegate`, never before this returns.
    /// Call on `eventLoop`.
    ///
    /// `probeSettings`: ask for the settings that the server does not report, and the session user;
    /// without, the greeting has no settings and the user that connected.
    package func makeLink(
        startup: SessionStartup, eventLoop: any EventLoop, delegate: any UpstreamLinkDelegate,
        probeSettings: Bool
    ) -> PostgreSQLLink {
        eventLoop.assertInEventLoop()
        let link = PostgreSQLLink(
            settings: settings, tls: tls, servers: servers, startup: startup,
            eventLoop: eventLoop, delegate: delegate, probesSettings: probeSettings,
            credentials: credentials?.of(startup.user))
        link.start()
        return link
    }
}

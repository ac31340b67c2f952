import NIOCore
import PostgresWire

/// Makes links to one PostgreSQL upstream.
package struct PostgreSQLLinkFactory: Sendable {
    package let settings: PostgreSQLUpstreamSettings
    private let credentials: ClientCredentials?

    /// - Parameter credentials: what clients have shown; used where the settings name no user.
    package init(settings: PostgreSQLUpstreamSettings, credentials: ClientCredentials? = nil) {
        self.settings = settings
        self.credentials = credentials
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
            settings: settings, startup: startup, eventLoop: eventLoop, delegate: delegate,
            probesSettings: probeSettings, credentials: credentials?.of(startup.user))
        link.start()
        return link
    }
}

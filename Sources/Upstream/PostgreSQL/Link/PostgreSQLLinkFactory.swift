import NIOCore
import PostgresWire

/// Makes links to one PostgreSQL upstream.
package struct PostgreSQLLinkFactory: Sendable {
    package let settings: PostgreSQLUpstreamSettings

    package init(settings: PostgreSQLUpstreamSettings) {
        self.settings = settings
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
            probesSettings: probeSettings)
        link.start()
        return link
    }
}

import NIOCore
import PostgresWire
import ResultCache
import Synchronization

/// Makes links to one PostgreSQL upstream.
package struct PostgreSQLLinkFactory: Sendable {
    package let settings: PostgreSQLUpstreamSettings
    private let tls: LinkTLS
    private let servers: KnownServers
    private let redirection = Redirection()
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
        var settings = settings
        var servers = servers
        let redirected = redirection.target.withLock { $0 }
        if let redirected, case .primary(let address) = redirected.destination {
            settings.hosts = [address]
            settings.leadsToNode = true
            settings.target = .any
            settings.parameters.append(
                .init(name: MirrorLog.Position.parameter, value: "on"))
            servers = redirected.servers
        }
        let link = PostgreSQLLink(
            settings: settings, tls: tls, servers: servers, startup: startup,
            eventLoop: eventLoop, delegate: delegate, probesSettings: probeSettings,
            credentials: credentials?.of(startup.user),
            claim: redirected == nil ? redirection.claim.withLock { $0 } : nil)
        if redirected?.destination == .unknownPrimary {
            link.start(failingWith: Self.unknownPrimary)
        } else {
            link.start()
        }
        return link
    }

    /// Where links lead from now on.
    package func redirect(to destination: LinkDestination) {
        redirection.target.withLock { target in
            guard target?.destination != destination else { return }
            // Another Mynah is not the server: nothing follows from where links to it lead.
            target =
                destination == .server
                ? nil : (destination, KnownServers(isExclusive: false, onServerChanged: { _ in }))
        }
    }

    /// What links to the server have to be marked with; nil: nothing.
    package func setClaim(_ claim: LinkClaim?) {
        redirection.claim.withLock { $0 = claim }
    }

    package var claim: LinkClaim? { redirection.claim.withLock { $0 } }

    package var isPrimaryKnown: Bool {
        redirection.target.withLock { target in
            if case .primary? = target?.destination { true } else { false }
        }
    }

    package var isRedirected: Bool { redirection.target.withLock { $0 != nil } }

    private static let unknownPrimary = PostgresError(
        "57P03", "this node follows another one, which it has not reached yet", severity: .fatal,
        hint: "Its log says why. Connect to the node that leads, or try again in a moment.")

    private final class Redirection: Sendable {
        let target = Mutex<(destination: LinkDestination, servers: KnownServers)?>(nil)
        let claim = Mutex<LinkClaim?>(nil)
    }
}

/// Where the links of a node lead.
package enum LinkDestination: Hashable, Sendable {
    /// To the database server.
    case server
    /// To another Mynah, whose clients connect there.
    case primary(PostgreSQLAddress)
    /// To another Mynah, once it is known where that is.
    case unknownPrimary
}

import Telemetry

/// One `[[auth.rule]]`: which clients it is about, and how they have to show who they are.
package struct AuthenticationRule: Hashable, Sendable {
    package enum Names: Hashable, Sendable {
        case all
        case some([String])

        func contains(_ name: String) -> Bool {
            switch self {
            case .all: true
            case .some(let names):
                names.contains { $0.utf8.elementsEqual(name.utf8) }
            }
        }
    }

    package enum Source: Hashable, Sendable {
        case all
        case unix
        case block(AddressBlock)

        func contains(_ peer: PeerAddress) -> Bool {
            switch (self, peer) {
            case (.all, _), (.unix, .unix): true
            case (.block(let block), .network(let bytes)): block.contains(bytes)
            case (.unix, _), (.block, _): false
            }
        }

        /// Whether only this machine's processes are meant.
        package var isLocal: Bool {
            switch self {
            case .all: false
            case .unix: true
            case .block(let block): block.isLoopback
            }
        }
    }

    package var users: Names
    package var databases: Names
    package var sources: [Source]
    /// Nil: whether encrypted or not.
    package var encrypted: Bool?
    package var method: AuthenticationMethod

    package init(
        users: Names = .all, databases: Names = .all, sources: [Source] = [.all],
        encrypted: Bool? = nil, method: AuthenticationMethod
    ) {
        self.users = users
        self.databases = databases
        self.sources = sources
        self.encrypted = encrypted
        self.method = method
    }

    /// Whether it is about this client.
    package func matches(_ client: ClientIdentity) -> Bool {
        sources.contains { $0.contains(client.peer) }
            && (encrypted == nil || encrypted == client.transport.isEncrypted)
            && users.contains(client.user) && databases.contains(client.database)
    }
}

/// Who a client says it is, and what is known of where it comes from.
package struct ClientIdentity: Hashable, Sendable {
    package var user: String
    package var database: String
    package var peer: PeerAddress
    package var transport: TransportSecurity

    package init(
        user: String, database: String, peer: PeerAddress, transport: TransportSecurity = .none
    ) {
        self.user = user
        self.database = database
        self.peer = peer
        self.transport = transport
    }
}

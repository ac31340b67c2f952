import NIOCore

/// Which server, at which of its addresses, with TLS or without, a link tries next. Pure.
///
/// Hosts in the order of the connection string, the addresses of each in the resolver's, as libpq.
struct LinkAttempts {
    private let hosts: [PostgreSQLAddress]
    private let mode: LinkEncryption.Mode
    private let wanted: TargetSession
    /// Indices into `hosts`, in the order in which they are tried.
    private let order: [Int]
    private var position = 0
    private var addresses: [SocketAddress] = []
    private var addressPosition = 0
    private var hasSwitchedEncryption = false
    private var isSecondRound = false

    /// - Parameter first: the host to begin with; the others follow in turn.
    init(
        hosts: [PostgreSQLAddress], mode: LinkEncryption.Mode, wanted: TargetSession, first: Int = 0
    ) {
        self.hosts = hosts
        self.mode = mode
        self.wanted = wanted
        order = hosts.indices.map { ($0 + first) % hosts.count }
    }

    var hostIndex: Int { order[position] }
    var host: PostgreSQLAddress { hosts[hostIndex] }
    /// nil before the host's addresses are known.
    var address: SocketAddress? {
        addressPosition < addresses.count ? addresses[addressPosition] : nil
    }

    /// What the server has to be: in a second round, `prefer-standby` takes what there is.
    var target: TargetSession { isSecondRound ? .any : wanted }

    /// Whether this attempt is to be encrypted. A unix socket's never is, as with libpq.
    var isEncrypted: Bool {
        guard host.unixSocketPath == nil else { return false }
        switch mode {
        case .disable: return false
        case .allow: return hasSwitchedEncryption
        case .prefer: return !hasSwitchedEncryption
        case .require, .verifyCA, .verifyFull: return true
        }
    }

    /// Whether something is left to try after this attempt.
    var hasMore: Bool {
        position + 1 < order.count || addressPosition + 1 < addresses.count
            || (wanted == .preferStandby && !isSecondRound)
    }

    mutating func resolved(_ addresses: [SocketAddress]) {
        self.addresses = addresses
        addressPosition = 0
        hasSwitchedEncryption = false
    }

    /// Goes on to the next address or host; false where there is none.
    mutating func advance() -> Bool {
        hasSwitchedEncryption = false
        if addressPosition + 1 < addresses.count {
            addressPosition += 1
            return true
        }
        addresses = []
        addressPosition = 0
        if position + 1 < order.count {
            position += 1
            return true
        }
        guard wanted == .preferStandby, !isSecondRound else { return false }
        isSecondRound = true
        position = 0
        return true
    }

    /// The server refuses such connections: with `allow` the same server is then tried with TLS,
    /// with `prefer` without. False where that is not to be, or has been.
    mutating func switchEncryption() -> Bool {
        guard !hasSwitchedEncryption, host.unixSocketPath == nil, mode == .allow || mode == .prefer
        else { return false }
        hasSwitchedEncryption = true
        return true
    }
}

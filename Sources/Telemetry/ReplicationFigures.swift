/// How a node stands that is followed, or follows another.
package struct ReplicationFigures: Sendable, Equatable {
    package enum Role: String, CaseIterable, Sendable {
        case primary, replica
    }

    package var role: Role
    package var epoch: UInt64
    /// Of the last record in this node's log.
    package var index: UInt64
    /// What it tells others; nil where it cannot be followed.
    package var followed: Followed?
    /// What it hears; nil where it does not follow.
    package var following: Following?

    /// How often the node has taken the lead, and how often with its mirror.
    package var takeovers: UInt64
    package var takeoversWithMirror: UInt64

    package init(
        role: Role, epoch: UInt64, index: UInt64, followed: Followed?, following: Following?,
        takeovers: UInt64 = 0, takeoversWithMirror: UInt64 = 0
    ) {
        self.takeovers = takeovers
        self.takeoversWithMirror = takeoversWithMirror
        self.role = role
        self.epoch = epoch
        self.index = index
        self.followed = followed
        self.following = following
    }

    package struct Followed: Sendable, Equatable {
        package var followers: Int
        /// Followers that may answer from memory.
        package var leases: Int
        /// Commits that wait for an acknowledgement.
        package var waitingCommits: Int
        package var heldBytes: Int
        package var sentBytes: UInt64
        /// How often a follower was too slow and had to begin anew.
        package var resyncs: UInt64
        package var refused: UInt64

        package init(
            followers: Int, leases: Int, waitingCommits: Int, heldBytes: Int, sentBytes: UInt64,
            resyncs: UInt64, refused: UInt64
        ) {
            self.followers = followers
            self.leases = leases
            self.waitingCommits = waitingCommits
            self.heldBytes = heldBytes
            self.sentBytes = sentBytes
            self.resyncs = resyncs
            self.refused = refused
        }
    }

    package struct Following: Sendable, Equatable {
        package var isConnected: Bool
        /// Whether it may answer from memory.
        package var hasLease: Bool
        /// How old an answer can be, in seconds; nil before the first proof.
        package var lag: Double?
        package var receivedBytes: UInt64
        package var records: UInt64
        /// Entries that came with a beginning.
        package var entries: UInt64
        /// How often it has begun anew.
        package var resyncs: UInt64

        package init(
            isConnected: Bool, hasLease: Bool, lag: Double?, receivedBytes: UInt64,
            records: UInt64, entries: UInt64, resyncs: UInt64
        ) {
            self.isConnected = isConnected
            self.hasLease = hasLease
            self.lag = lag
            self.receivedBytes = receivedBytes
            self.records = records
            self.entries = entries
            self.resyncs = resyncs
        }
    }
}

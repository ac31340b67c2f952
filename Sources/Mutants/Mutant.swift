#if DEBUG
    import Foundation
#endif

/// A deliberate fault in one of the rules that keep answers right, for the tests that must notice
/// it: a checker that no mutant can fail proves nothing.
///
/// Release builds have no mutants: `isActive` is the constant `false` there, and the compiler
/// removes what depends on it.
package enum Mutant: String, CaseIterable, Sendable {
    // Windows and fills (design §4).
    /// An entry is stamped with its cells as they are when it is stored, not as they were before
    /// its query was sent.
    case noRecheckAtFill = "no_recheck_at_fill"
    /// A write's window opens after its bytes were sent.
    case windowAfterCommit = "window_after_commit"
    /// Cells do not count the writers in flight.
    case noWritersCount = "no_writers_count"
    /// A committed window leaves its cells' versions alone.
    case noBumpAtClose = "no_bump_at_close"
    /// A window whose link dies is closed at once, as if its write had failed.
    case windowReleasedWithLink = "window_released_with_link"

    // Keys.
    /// Statement text and parameters enter the key without their lengths.
    case keyWithoutLengths = "key_without_lengths"
    case keyWithoutRole = "key_without_role"
    case keyWithoutSearchPath = "key_without_search_path"
    /// The settings as of Parse are not part of a prepared statement's key.
    case keyWithoutParseSettings = "key_without_parse_settings"
    /// A setting counts as soon as it is sent, though the server may refuse it.
    case settingsBeforeConfirmation = "settings_before_confirmation"

    // Read sets and write sets.
    case cascadesIgnored = "cascades_ignored"
    case partitionsIgnored = "partitions_ignored"
    case triggersIgnored = "triggers_ignored"
    /// A keyed UPDATE covers the keys that its rows had, not those that they get.
    case movedKeyIgnored = "moved_key_ignored"
    /// Fills by a newly keyed column do not wait for the windows that were open before it.
    case newlyKeyedColumn = "newly_keyed_column"

    // Sessions.
    /// Reads after a transaction's own writes are answered from memory, and stored.
    case ownWritesIgnored = "own_writes_ignored"
    /// Reads in REPEATABLE READ transactions are answered from memory, and stored.
    case isolationIgnored = "isolation_ignored"

    // Connections that clients share.
    /// A client's settings are not made on the connection that it gets.
    case settingsNotReplayed = "settings_not_replayed"
    /// A connection goes back to its pool although a transaction is open on it.
    case linkReturnedInTransaction = "link_returned_in_transaction"
    /// Statements that clients have prepared under the same name are taken for the same.
    case statementsSharedByName = "statements_shared_by_name"

    // Mirrors, and who leads.
    /// A mirror answers whether it holds a lease or not.
    case mirrorIgnoresLease = "mirror_ignores_lease"
    /// A mirror's lease counts from when its answer comes, not from when it was asked for.
    case leaseFromAnswer = "lease_from_answer"
    /// A mirror of a mirror takes what that knows for as young as the answer.
    case ageIgnored = "age_ignored"
    /// A node that led grants leases although its own term is over.
    case leaseBeyondTerm = "lease_beyond_term"
    /// A mirror answers a session although that has seen more than the mirror has applied.
    case seenIsIgnored = "seen_is_ignored"
    /// A commit is sent before the followers know of it.
    case commitDoesNotWaitForFollowers = "commit_does_not_wait_for_followers"
    /// An answer enters the log although a window may have opened since it was found.
    case storedWithoutCheckUnderLock = "stored_without_check_under_lock"
    /// So does one that was in the cache when a mirror began.
    case entriesWithoutCheckUnderLock = "entries_without_check_under_lock"
    /// A mirror that begins anew keeps what it holds.
    case mirrorKeptAtBegin = "mirror_kept_at_begin"
    /// Whoever takes over does not wait until the predecessor's term is over.
    case takeOverWithoutTerm = "take_over_without_term"
    /// Whoever takes over keeps a mirror whose lease had run out.
    case takeOverKeepsExpiredMirror = "take_over_keeps_expired_mirror"
    /// Whoever takes over keeps what open windows cover.
    case takeOverKeepsOpenWindows = "take_over_keeps_open_windows"
    /// Whoever takes over does not wait for the leases that its predecessor has granted.
    case takeOverForgetsLeases = "take_over_forgets_leases"
}

extension Mutant {
    /// Those that take more than one node to be noticed.
    package static let ofMirrors: [Mutant] = [
        .mirrorIgnoresLease, .leaseFromAnswer, .ageIgnored, .leaseBeyondTerm, .seenIsIgnored,
        .commitDoesNotWaitForFollowers, .storedWithoutCheckUnderLock,
        .entriesWithoutCheckUnderLock, .mirrorKeptAtBegin, .takeOverWithoutTerm,
        .takeOverKeepsExpiredMirror, .takeOverKeepsOpenWindows, .takeOverForgetsLeases,
    ]
}

extension Mutant {
    #if DEBUG
        /// The mutant of the running test, for the code that it calls on its own thread.
        @TaskLocal package static var scoped: Mutant?

        /// The mutant that a process was started with.
        private static let ofProcess: Mutant? =
            ProcessInfo.processInfo.environment["MYNAH_MUTANT"].flatMap(Mutant.init)

        /// What `MYNAH_MUTANT` asks of this process; nil in release builds whatever it says.
        package static var requested: Mutant? { ofProcess }

        package var isActive: Bool { (Mutant.scoped ?? Mutant.ofProcess) == self }
    #else
        package static var requested: Mutant? { nil }

        @inlinable package var isActive: Bool { false }
    #endif
}

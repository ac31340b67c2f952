import SQLAnalysis

/// A portal as it was bound. The server has fixed by then what the names in it mean, so what it may
/// change is that of then, however its statement is resolved later.
struct BoundPortal {
    let statement: PreparedStatement
    let profile: QueryProfile?
    /// Whether it was certain what the names meant.
    let isResolved: Bool
}

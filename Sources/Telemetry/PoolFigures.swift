/// How one pool of upstream connections stands.
package struct PoolFigures: Sendable, Equatable {
    package var user: String
    package var database: String
    /// Connections at most.
    package var size: Int
    /// Client sessions.
    package var clients: Int
    /// Connections that client sessions have.
    package var busy: Int
    package var idle: Int
    package var connecting: Int
    /// Client sessions that wait for a connection.
    package var waiting: Int

    package init(
        user: String, database: String, size: Int, clients: Int, busy: Int, idle: Int,
        connecting: Int, waiting: Int
    ) {
        self.user = user
        self.database = database
        self.size = size
        self.clients = clients
        self.busy = busy
        self.idle = idle
        self.connecting = connecting
        self.waiting = waiting
    }
}

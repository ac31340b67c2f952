import NIOCore
import Security
import Upstream

/// A client between its startup message and the proof of who it is. Confined to the connection's
/// event loop; gone once there is a session.
final class ClientLogin {
    let startup: SessionStartup
    let client: ClientIdentity
    /// Those of the moment at which it began.
    let settings: ClientAuthenticator.Settings
    let context: ChannelHandlerContext
    var machine: ClientAuthenticationStateMachine

    init(
        startup: SessionStartup, client: ClientIdentity, settings: ClientAuthenticator.Settings,
        context: ChannelHandlerContext, machine: ClientAuthenticationStateMachine
    ) {
        self.startup = startup
        self.client = client
        self.settings = settings
        self.context = context
        self.machine = machine
    }
}

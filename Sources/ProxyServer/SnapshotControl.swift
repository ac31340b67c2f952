import Foundation
import Logging
import NIOCore
import NIOPosix
import ServiceLifecycle
import Snapshots

/// Takes orders about snapshots on a Unix-domain socket in their directory, which only the owner of
/// the process can connect to.
///
/// One order for each connection: a line `save`, `save PATH` or `restore PATH`, with absolute paths. It
/// is answered by a line `ok` or `error` and, behind it, sentences for a person; then the connection
/// ends.
struct SnapshotControl: Service {
    let channel: any Channel
    let socket: String

    /// Listens. Throws `StartError` where another process does so already, or it cannot be done.
    static func listen(
        _ keeper: SnapshotKeeper, on group: MultiThreadedEventLoopGroup
    ) async throws -> SnapshotControl {
        let path = keeper.directory.socket
        do {
            let channel = try await ServerBootstrap(group: group)
                .serverChannelOption(.backlog, value: 16)
                .childChannelInitializer { channel in
                    channel.eventLoop.makeCompletedFuture {
                        try channel.pipeline.syncOperations.addHandler(
                            SnapshotControlHandler(keeper: keeper))
                    }
                }
                .bind(
                    unixDomainSocketPath: path,
                    cleanupExistingSocketFile: try ClientListener.isAbandoned(path)
                ).get()
            // Until here the directory, which nobody else can write to, and the usual mask.
            guard chmod(path, 0o600) == 0 else {
                throw SnapshotError.system(call: "chmod", code: errno)
            }
            return SnapshotControl(channel: channel, socket: path)
        } catch {
            throw StartError(
                key: "snapshot.directory",
                problem: "cannot listen on \(path): \(ClientListener.reason(error))",
                allowed: "allowed: a directory that no other Mynah uses, with a short path")
        }
    }

    func run() async throws {
        await withTaskCancellationOrGracefulShutdownHandler {
            try? await channel.closeFuture.get()
        } onCancelOrGracefulShutdown: { [channel] in
            channel.close(promise: nil)
        }
        unlink(socket)
    }
}

/// One connection.
private final class SnapshotControlHandler: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    /// A path's greatest length, and a word.
    private static let longestOrder = 4096 + 16
    private static let patience = TimeAmount.seconds(10)

    private let keeper: SnapshotKeeper
    private var input = ByteBuffer()
    private var isAnswering = false
    private var deadline: Scheduled<Void>?

    init(keeper: SnapshotKeeper) { self.keeper = keeper }

    func channelActive(context: ChannelHandlerContext) {
        let channel = context.channel
        deadline = context.eventLoop.scheduleTask(in: Self.patience) {
            channel.close(promise: nil)
        }
    }

    func channelInactive(context: ChannelHandlerContext) {
        deadline?.cancel()
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        guard !isAnswering else { return }
        input.writeImmutableBuffer(unwrapInboundIn(data))
        guard let end = input.readableBytesView.firstIndex(of: UInt8(ascii: "\n")) else {
            if input.readableBytes > Self.longestOrder { context.close(promise: nil) }
            return
        }
        isAnswering = true
        deadline?.cancel()
        let line = String(decoding: input.readableBytesView[..<end], as: UTF8.self)
        let (channel, keeper) = (context.channel, keeper)
        Task {
            let answer = await SnapshotOrder(line).carryOut(keeper)
            try? await channel.writeAndFlush(ByteBuffer(string: answer))
            channel.close(promise: nil)
        }
    }
}

/// What the other end of the socket asks for.
private enum SnapshotOrder {
    case save(path: String?)
    case restore(path: String)
    case unknown

    init(_ line: String) {
        let words = line.split(separator: " ", maxSplits: 1).map(String.init)
        switch (words.first, words.dropFirst().first) {
        case ("save", nil): self = .save(path: nil)
        // A relative one would count from wherever this process was started.
        case ("save", let path?) where path.hasPrefix("/"): self = .save(path: path)
        case ("restore", let path?) where path.hasPrefix("/"): self = .restore(path: path)
        default: self = .unknown
        }
    }

    func carryOut(_ keeper: SnapshotKeeper) async -> String {
        do {
            switch self {
            case .save(let path):
                let saved = try await keeper.save(to: path)
                return "ok\n\(saved.sentence)\n"
            case .restore(let path):
                return "ok\n\(try await keeper.restore(path).sentence)\n"
            case .unknown: return "error\nnot an order\n"
            }
        } catch {
            return "error\n\(error)\n"
        }
    }
}

extension SnapshotKeeper.Saved {
    fileprivate var sentence: String {
        "\(answers) answers, \(bytes) bytes, in \(path)"
            + (isProvable || answers == 0
                ? ""
                : "\nThe database changed meanwhile, or cannot be recognised: it will do as a list of "
                    + "statements to run again, not for its answers.")
    }
}

extension SnapshotKeeper.Restored {
    fileprivate var sentence: String {
        switch self {
        case .answers(let outcome):
            "\(outcome.restored) answers restored, \(outcome.expired) expired, "
                + "\(outcome.skipped) skipped"
        case .warmUp(let reason, let statements):
            "Its answers are not used: \(reason).\n\(statements) statements are being run again."
        }
    }
}

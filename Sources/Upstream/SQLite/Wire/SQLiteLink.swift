import DequeModule
import NIOCore
import PostgresWire

/// A session's link to the SQLite upstream: bytes in, bytes out, on the session's event loop; the
/// work between is done by an `SQLiteSession` on the workers' threads, one run at a time.
final class SQLiteLink: UpstreamLink, @unchecked Sendable {
    // Sendable: all state is touched on `eventLoop` only; workers come back to it.

    private enum State {
        case starting
        case open
        /// Terminate was read, or the session closed: ends when the current run does.
        case closing
        case closed
    }

    private let database: SQLiteDatabase
    private let eventLoop: any EventLoop
    private weak var delegate: (any UpstreamLinkDelegate)?
    private let session: SQLiteSession
    private let replies: ReplyStream

    private var state = State.starting
    private var received = ByteBuffer()
    private var frames: Deque<MessageFrame> = []
    private var waitingBytes = 0
    private var isWritable = true
    /// What to tell the client once the frames before it are answered.
    private var brokenBy: PostgresError?

    private var isRunning = false
    private var ownsWriter = false
    /// The reader that the session keeps between runs.
    private var keptReader: SQLiteWorker?

    private var isPaused = false
    private var held: Deque<ByteBuffer> = []

    /// - Parameter failure: why the session cannot be had; told instead of the greeting.
    init(
        database: SQLiteDatabase, eventLoop: any EventLoop, delegate: any UpstreamLinkDelegate,
        replyBox: ReplyBox, replies: ReplyStream, session: SQLiteSession, failure: PostgresError?
    ) {
        self.database = database
        self.eventLoop = eventLoop
        self.delegate = delegate
        self.replies = replies
        self.session = session
        replyBox.link = self
        // Not before the caller has the link in its hands.
        eventLoop.execute { [self] in
            if let failure { fail(failure) } else { start() }
        }
    }

    /// Checks that the file answers, then greets.
    private func start() {
        guard state == .starting else { return }
        database.writer.submit { [self] connection in
            // What other processes committed since the last check is noticed before the first
            // answer of this one can be served.
            let result = connection.flatMap { connection in
                Result { try self.database.checkForeignWrites(connection) }
            }
            eventLoop.execute { [self] in started(result) }
        }
    }

    private func started(_ result: Result<Void, any Error>) {
        guard state == .starting else {
            if state == .closing { finishClosing() }
            return
        }
        if case .failure(let error) = result {
            fail(SQLiteSession.reportable(error))
            return
        }
        state = .open
        delegate?.upstreamReady(session.greeting)
        schedule()
    }

    private func fail(_ error: PostgresError) {
        guard state == .starting || state == .open else { return }
        state = .closed
        replies.close()
        var fatal = error
        fatal.severity = .fatal
        delegate?.upstreamClosed(fatal, mayStillRun: false)
    }

    // MARK: UpstreamLink

    func send(_ messages: ByteBuffer) {
        eventLoop.preconditionInEventLoop()
        guard state == .starting || state == .open, brokenBy == nil else { return }
        var messages = messages
        waitingBytes += messages.readableBytes
        if received.readableBytes == 0 {
            received = messages
        } else {
            received.writeBuffer(&messages)
        }
        do {
            while let frame = try MessageFraming.next(
                in: &received, limit: database.settings.messageLimit)
            {
                frames.append(frame)
            }
        } catch {
            brokenBy = error
        }
        updateWritability()
        schedule()
    }

    func setPaused(_ paused: Bool) {
        eventLoop.preconditionInEventLoop()
        isPaused = paused
        while !isPaused, let bytes = held.popFirst() { handOver(bytes) }
    }

    func cancelRunningStatement() {
        session.cancellation.request(.userRequest)
    }

    func close() {
        eventLoop.preconditionInEventLoop()
        guard state == .starting || state == .open else { return }
        let wasStarting = state == .starting
        state = .closing
        frames = []
        held = []
        session.cancellation.request(.linkClosed)
        replies.close()
        // While it starts, `started` goes on; while it runs, the end of the run does.
        if !isRunning, !wasStarting { finishClosing() }
    }

    // MARK: Replies

    /// Reply bytes from a worker.
    func deliver(_ bytes: ByteBuffer) {
        guard state == .open else { return }
        if isPaused || !held.isEmpty {
            held.append(bytes)
        } else {
            handOver(bytes)
        }
    }

    private func handOver(_ bytes: ByteBuffer) {
        replies.acknowledge(bytes.readableBytes)
        delegate?.upstreamReceived(bytes)
    }

    private func updateWritability() {
        let limit = database.settings.requestLimit
        // Half as much again before it resumes, so that it does not flicker.
        let now = isWritable ? waitingBytes <= limit : waitingBytes <= limit / 2
        guard now != isWritable else { return }
        isWritable = now
        delegate?.upstreamWritabilityChanged(now)
    }

    // MARK: Runs

    private func schedule() {
        guard state == .open, !isRunning else { return }
        if let first = frames.first, first.tag == FrontendTag.terminate {
            close()
            return
        }
        guard !frames.isEmpty || session.hasWork else {
            if let brokenBy { end(with: brokenBy) }
            return
        }
        isRunning = true
        if ownsWriter {
            run(on: database.writer, isWriter: true)
        } else if let keptReader {
            run(on: keptReader, isWriter: false)
        } else {
            leaseReader()
        }
    }

    private func leaseReader(writerRefused: Bool = false) {
        database.readers.lease { [self] result in
            switch result {
            case .success(let worker):
                eventLoop.execute { [self] in
                    keptReader = worker
                    run(on: worker, isWriter: false, writerRefused: writerRefused)
                }
            case .failure(let error):
                eventLoop.execute { [self] in
                    isRunning = false
                    state == .closing ? finishClosing() : end(with: error)
                }
            }
        }
    }

    /// One run of the session, on `worker`'s thread. `keptReader` is the worker unless it is the
    /// writer.
    private func run(on worker: SQLiteWorker, isWriter: Bool, writerRefused: Bool = false) {
        if state == .closing {
            isRunning = false
            finishClosing()
            return
        }
        // Terminate and what follows it stay behind.
        let end = frames.firstIndex { $0.tag == FrontendTag.terminate } ?? frames.endIndex
        let batch = Deque(frames[..<end])
        frames.removeSubrange(..<end)
        let bytes = batch.reduce(0) { $0 + $1.bytes.readableBytes }
        worker.submit { [self] connection in
            let outcome: Result<SQLiteSession.Outcome, any Error> = connection.map { connection in
                session.add(batch)
                let place = SQLiteSession.Place(connection: connection, isWriter: isWriter)
                return writerRefused
                    ? session.writerUnavailable(at: place) : session.run(at: place)
            }
            eventLoop.execute { [self] in ranTo(outcome, bytes: bytes) }
        }
    }

    private func ranTo(_ outcome: Result<SQLiteSession.Outcome, any Error>, bytes: Int) {
        isRunning = false
        waitingBytes -= bytes
        if state == .closing {
            finishClosing()
            return
        }
        releaseWhatIsNotKept()
        switch outcome {
        case .failure(let error): end(with: SQLiteSession.reportable(error))
        case .success(.idle):
            updateWritability()
            schedule()
        case .success(.handover(.toReader)):
            isRunning = true
            releaseWriter()
            leaseReader()
        case .success(.handover(.toWriter)):
            isRunning = true
            waitForWriter()
        }
    }

    private func waitForWriter() {
        database.gate.acquire(on: eventLoop, timeout: session.lockTimeout) { [self] granted in
            if granted {
                ownsWriter = true
                run(on: database.writer, isWriter: true)
            } else if let keptReader {
                run(on: keptReader, isWriter: false, writerRefused: true)
            } else {
                leaseReader(writerRefused: true)
            }
        }
    }

    private func releaseWhatIsNotKept() {
        if ownsWriter, !session.transaction.holdsWriter { releaseWriter() }
        if let reader = keptReader, !session.keepsReader {
            keptReader = nil
            database.readers.release(reader)
        }
    }

    private func releaseWriter() {
        guard ownsWriter else { return }
        ownsWriter = false
        database.gate.release()
    }

    // MARK: The end

    /// The link cannot go on, and the client is told why.
    private func end(with error: PostgresError) {
        guard state == .open else { return }
        let delegate = delegate
        close()
        var fatal = error
        fatal.severity = .fatal
        delegate?.upstreamClosed(fatal, mayStillRun: false)
    }

    /// Rolls back where the session's transaction is open, then lets everything go. The writer is
    /// free for others only after that.
    private func finishClosing() {
        guard state == .closing else { return }
        state = .closed
        let worker = ownsWriter ? database.writer : keptReader
        guard let worker else {
            released()
            return
        }
        let isWriter = ownsWriter
        worker.submit { [self] connection in
            if case .success(let connection) = connection {
                session.end(at: .init(connection: connection, isWriter: isWriter))
            }
            eventLoop.execute { [self] in released() }
        }
    }

    private func released() {
        releaseWriter()
        if let reader = keptReader {
            keptReader = nil
            database.readers.release(reader)
        }
    }
}

/// Lets a `ReplyStream` find its link, which is made after it.
final class ReplyBox: @unchecked Sendable {
    // Sendable: set and read on the link's event loop.
    weak var link: SQLiteLink?
}

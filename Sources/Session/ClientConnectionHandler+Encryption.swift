import Logging
import NIOCore
import PostgresWire
import Telemetry

// From plain text to TLS, before the startup message.

extension ClientConnectionHandler {
    /// Answers SSLRequest with yes. Bytes that came behind it in plain text may be somebody
    /// else's: they must not be taken for the client's (CVE-2021-23214).
    func encrypt(
        _ offer: ClientEncryption.Offer, _ context: ChannelHandlerContext
    ) throws(PostgresError) {
        guard input.readableBytes == 0 else {
            throw PostgresError(
                .protocolViolation, "received unencrypted data after SSL request",
                detail: "This could be either a client-software bug or evidence of an attempted "
                    + "man-in-the-middle attack.")
        }
        output?.buffer.writeInteger(UInt8(ascii: "S"))
        output?.flush()
        try beginHandshake(offer, isDirect: false, context)
    }

    /// Whether the connection begins with a TLS record (libpq's `sslnegotiation=direct`); if so,
    /// the handshake is under way.
    func startsWithTLS(_ context: ChannelHandlerContext) throws(PostgresError) -> Bool {
        guard !transport.isEncrypted, encryptionRequests.isEmpty, let offer = encryption?.offer,
            input.getInteger(at: input.readerIndex, as: UInt8.self) == ClientHandshake.firstByte
        else { return false }
        let records = input
        input = ByteBuffer()
        try beginHandshake(offer, isDirect: true, context)
        context.pipeline.syncOperations.fireChannelRead(NIOAny(records))
        context.pipeline.syncOperations.fireChannelReadComplete()
        return true
    }

    func beginHandshake(
        _ offer: ClientEncryption.Offer, isDirect: Bool, _ context: ChannelHandlerContext
    ) throws(PostgresError) {
        encryptionRequests = [.sslRequest, .gssEncryptionRequest]
        do {
            handshake = try ClientHandshake(
                offer, isDirect: isDirect, context: context, following: self)
        } catch {
            throw PostgresError(.internalError, "could not begin the TLS handshake")
        }
    }

    func handshakeFailed(_ reason: String?) {
        handshake = nil
        services.metrics.tlsHandshakeFailures.increment()
        services.logger.info(
            "TLS handshake with a client failed",
            metadata: ["reason": "\(reason ?? "the connection was closed")"])
    }

    func requireEncryption() throws(PostgresError) {
        guard !transport.isEncrypted, encryption?.offer?.isRequired == true else { return }
        throw PostgresError(
            .invalidAuthorization, "connections in plain text are not accepted",
            hint: "The proxy's tls.mode is \"require\": connect with sslmode=require or stronger.")
    }
}

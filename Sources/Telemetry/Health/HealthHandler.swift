import NIOCore
import NIOHTTP1

/// One connection: one request at a time, its answer, then the next request or the end.
final class HealthHandler: ChannelInboundHandler {
    typealias InboundIn = HTTPServerRequestPart
    typealias OutboundOut = HTTPServerResponsePart

    private let service: HealthService
    private let limiter: ConnectionLimiter
    private let timeout: TimeAmount
    private var isCounted = false
    private var isAnswering = false
    private var head: HTTPRequestHead?
    private var deadline: Scheduled<Void>?

    init(service: HealthService, limiter: ConnectionLimiter, timeout: TimeAmount) {
        self.service = service
        self.limiter = limiter
        self.timeout = timeout
    }

    func channelActive(context: ChannelHandlerContext) {
        isCounted = limiter.enter()
        guard isCounted else {
            context.close(promise: nil)
            return
        }
        armDeadline(context)
        context.fireChannelActive()
    }

    func channelInactive(context: ChannelHandlerContext) {
        deadline?.cancel()
        if isCounted { limiter.leave() }
        isCounted = false
        context.fireChannelInactive()
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        switch unwrapInboundIn(data) {
        case .head(let head):
            // A pipelined request would have to be queued: nothing that asks for health sends one.
            guard !isAnswering, self.head == nil else {
                context.close(promise: nil)
                return
            }
            if Self.hasBody(head) {
                respond(
                    HealthService.Answer(
                        status: 413, contentType: "text/plain; charset=utf-8",
                        body: Array("no body is read here\n".utf8)),
                    to: head, closing: true, context)
                return
            }
            self.head = head
        case .body: break
        case .end:
            guard let head else { return }
            self.head = nil
            answer(head, context)
        }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        // Past the limits the headers are too large (431); all else that the parser refuses is a bad request.
        guard let parserError = error as? HTTPParserError, !isAnswering else {
            context.close(promise: nil)
            return
        }
        let status = parserError == .headerOverflow ? 431 : 400
        let head = HTTPRequestHead(version: .http1_1, method: .GET, uri: "/")
        respond(
            HealthService.Answer(
                status: status, contentType: "text/plain; charset=utf-8",
                body: Array((status == 431 ? "the headers are too large\n" : "this is no HTTP request\n").utf8)),
            to: head, closing: true, context)
    }

    private func answer(_ head: HTTPRequestHead, _ context: ChannelHandlerContext) {
        isAnswering = true
        deadline?.cancel()
        let path = String(head.uri.prefix { $0 != "?" })
        let method = head.method.rawValue
        let service = service
        let bound = NIOLoopBound((self, context), eventLoop: context.eventLoop)
        context.eventLoop.makeFutureWithTask { await service.answer(method: method, path: path) }
            .whenSuccess { answer in
                let (handler, context) = bound.value
                guard context.channel.isActive else { return }
                handler.respond(answer, to: head, closing: !head.isKeepAlive, context)
            }
    }

    private func respond(
        _ answer: HealthService.Answer, to request: HTTPRequestHead, closing: Bool, _ context: ChannelHandlerContext
    ) {
        var headers = HTTPHeaders([
            ("Content-Type", answer.contentType), ("Content-Length", "\(answer.body.count)"),
            ("Cache-Control", "no-store"), ("X-Content-Type-Options", "nosniff"),
        ])
        if let allow = answer.allow { headers.add(name: "Allow", value: allow) }
        if closing { headers.add(name: "Connection", value: "close") }
        let head = HTTPResponseHead(
            version: .http1_1, status: HTTPResponseStatus(statusCode: answer.status), headers: headers)
        context.write(wrapOutboundOut(.head(head)), promise: nil)
        if request.method != .HEAD {
            context.write(wrapOutboundOut(.body(.byteBuffer(ByteBuffer(bytes: answer.body)))), promise: nil)
        }
        let sent = context.eventLoop.makePromise(of: Void.self)
        context.writeAndFlush(wrapOutboundOut(.end(nil)), promise: sent)
        isAnswering = closing
        if closing {
            let bound = NIOLoopBound(context, eventLoop: context.eventLoop)
            sent.futureResult.whenComplete { _ in bound.value.close(promise: nil) }
        }
        // Also bounds a reader that never takes the answer.
        armDeadline(context)
    }

    /// Closes the connection unless a whole request comes in time: idle and slow clients alike.
    private func armDeadline(_ context: ChannelHandlerContext) {
        deadline?.cancel()
        let bound = NIOLoopBound(context, eventLoop: context.eventLoop)
        deadline = context.eventLoop.scheduleTask(in: timeout) {
            bound.value.close(promise: nil)
        }
    }

    private static func hasBody(_ head: HTTPRequestHead) -> Bool {
        if head.headers.contains(name: "Transfer-Encoding") { return true }
        return head.headers["Content-Length"].contains { $0 != "0" }
    }
}

import CCurl
import Glibc

/// The functions libcurl calls during a transfer, all on the transport's thread, with the `Transfer` as their context.
///
/// The context is unretained: the loop keeps a transfer alive as long as its handle exists.
enum TransferCallbacks {
    static let write: martlet_data_callback = { data, size, count, context in
        guard let transfer = Transfer.from(context), let data else { return 0 }
        return transfer.receive(UnsafeRawBufferPointer(start: data, count: size * count))
    }

    static let header: martlet_data_callback = { data, size, count, context in
        guard let transfer = Transfer.from(context), let data else { return 0 }
        return transfer.receiveHeader(UnsafeRawBufferPointer(start: data, count: size * count))
    }

    static let read: martlet_data_callback = { data, size, count, context in
        guard let transfer = Transfer.from(context), let data else { return martlet_read_abort }
        return transfer.provide(UnsafeMutableRawBufferPointer(start: data, count: size * count))
    }

    static let seek: martlet_seek_callback = { context, offset, origin in
        guard let transfer = Transfer.from(context), origin == SEEK_SET else { return Int32(CURL_SEEKFUNC_FAIL) }
        return transfer.rewind(to: Int64(offset)) ? Int32(CURL_SEEKFUNC_OK) : Int32(CURL_SEEKFUNC_FAIL)
    }

    static let openSocket: martlet_socket_callback = { context, _, address in
        guard let transfer = Transfer.from(context), let address,
            let socketAddress = martlet_socket_address(address), transfer.allowsConnection(to: socketAddress)
        else { return CURL_SOCKET_BAD }
        return socket(
            address.pointee.family, address.pointee.socktype | Int32(SOCK_CLOEXEC.rawValue), address.pointee.protocol)
    }

    static let prerequest: martlet_prereq_callback = { context, remote, _, _, _ in
        guard let transfer = Transfer.from(context), let remote else { return CURL_PREREQFUNC_ABORT }
        return transfer.connected(to: String(cString: remote)) ? CURL_PREREQFUNC_OK : CURL_PREREQFUNC_ABORT
    }
}

extension Transfer {
    static func from(_ context: UnsafeMutableRawPointer?) -> Transfer? {
        context.map { Unmanaged<Transfer>.fromOpaque($0).takeUnretainedValue() }
    }

    // MARK: Addresses

    func allowsConnection(to address: UnsafePointer<sockaddr>) -> Bool {
        guard spec.proxy == nil, spec.addressPolicy.isPublicOnly else { return true }
        guard let address = IPAddress(address) else { return false }
        return allows(address)
    }

    /// Called for every request, also on a pooled connection, which another call may have opened under another policy.
    func connected(to remote: String) -> Bool {
        clock.noteConnected()
        if spec.upload.length == 0 { isSendComplete = true }
        guard spec.proxy == nil, spec.addressPolicy.isPublicOnly else { return true }
        guard let address = IPAddress(remote) else { return false }
        return allows(address)
    }

    private func allows(_ address: IPAddress) -> Bool {
        guard let kind = spec.addressPolicy.refusal(host: spec.host, address: address) else { return true }
        failure = HTTPError.addressRefused(host: spec.host, address: address, kind: kind)
        return false
    }

    // MARK: The request's body

    func provide(_ target: UnsafeMutableRawBufferPointer) -> Int {
        switch spec.upload {
        case .none:
            return 0
        case .bytes(let bytes):
            let count = min(target.count, bytes.count - Int(sendPosition))
            bytes.withUnsafeBytes { source in
                let start = Int(sendPosition)
                target.copyMemory(from: UnsafeRawBufferPointer(rebasing: source[start..<(start + count)]))
            }
            return provided(count, of: Int64(bytes.count))
        case .file(let file):
            let count = file.read(at: sendPosition, into: target)
            guard count > 0 || sendPosition == file.length else {
                let reason = count < 0 ? String(cString: strerror(errno)) : "it became shorter while it was sent"
                failure = UploadFile.failure(file.path, "stopped at byte \(sendPosition): \(reason)")
                return martlet_read_abort
            }
            return provided(count, of: file.length)
        case .pipe(let pipe, let length):
            return provide(target, from: pipe, length: length)
        }
    }

    private func provide(_ target: UnsafeMutableRawBufferPointer, from pipe: UploadPipe, length: Int64?) -> Int {
        switch pipe.read(into: target) {
        case .bytes(let count):
            if let length, sendPosition + Int64(count) > length {
                failure = .bodyLength(display: spec.display, promised: length, got: "more")
                return martlet_read_abort
            }
            return provided(count, of: length ?? .max)
        case .end:
            if let length, sendPosition != length {
                failure = .bodyLength(display: spec.display, promised: length, got: "only \(sendPosition)")
                return martlet_read_abort
            }
            isSendComplete = true
            return 0
        case .empty:
            isSendPaused = true
            return martlet_read_pause
        case .failed(let error):
            failure = HTTPError(
                code: .requestBodyFailed,
                message: "the source of the body for \(spec.display) failed at byte \(sendPosition)", underlying: error)
            return martlet_read_abort
        }
    }

    private func provided(_ count: Int, of length: Int64) -> Int {
        sendPosition += Int64(count)
        if sendPosition == length { isSendComplete = true }
        return count
    }

    /// libcurl sends again on a fresh connection when a pooled one turns out to be dead before any answer.
    func rewind(to position: Int64) -> Bool {
        if position == sendPosition { return true }
        guard case .http(let http) = spec.kind, http.isRepeatable else { return false }
        switch spec.upload {
        case .none, .bytes, .file:
            sendPosition = position
            isSendComplete = spec.upload.length == position
            return true
        case .pipe:
            return false
        }
    }

    // MARK: The answer

    func receiveHeader(_ line: UnsafeRawBufferPointer) -> Int {
        received += Int64(line.count)
        guard case .http(let http) = spec.kind else {
            if let refusal = SMTPReply(line) {
                mailRefusal = refusal
            } else if line.first == UInt8(ascii: "3") || line.starts(with: Array("250".utf8)) {
                // libcurl found a way around the refusal. The 221 of a farewell says nothing.
                mailRefusal = nil
            }
            return line.count
        }
        let step = head.consume(
            line, maximumBytes: configuration.maximumHeaderBytes, maximumCount: configuration.maximumHeaderCount)
        switch step {
        case .more:
            break
        case .tooLarge:
            failure = .headersTooLarge(display: spec.display, configuration: configuration)
            return 0
        case .complete:
            isHeadDelivered = true
            let answer = ResponseHead(status: head.status, headers: HTTPHeaders(head.fields))
            file = http.destination.flatMap { destination in
                let accepts = destination.accepts ?? { status, _ in status == (http.hasRange ? 206 : 200) }
                return accepts(answer.status, answer.headers) ? destination : nil
            }
            channel.deliver(answer, isWrittenToFile: file != nil)
        }
        return line.count
    }

    func receive(_ bytes: UnsafeRawBufferPointer) -> Int {
        guard case .http(let http) = spec.kind else { return bytes.count }
        if let limit = http.decompressionLimit, bodyBytes + Int64(bytes.count) > limit {
            failure = .bodyTooLarge(display: spec.display, limit: limit)
            return 0
        }
        if let file {
            guard write(bytes, to: file) else { return 0 }
        } else if channel.append(bytes) {
            isDirty = true
        } else {
            isReceivePaused = true
            isDirty = true
            return martlet_write_pause
        }
        received += Int64(bytes.count)
        bodyBytes += Int64(bytes.count)
        if file != nil { channel.countWritten(bodyBytes) }
        return bytes.count
    }

    private func write(_ bytes: UnsafeRawBufferPointer, to file: HTTPFileDestination) -> Bool {
        guard bodyBytes + Int64(bytes.count) <= file.maximumLength else {
            failure = .bodyTooLarge(display: spec.display, limit: file.maximumLength)
            return false
        }
        file.observe?(bytes)
        var rest = bytes
        var position = file.offset + bodyBytes
        while !rest.isEmpty {
            let count = pwrite(file.descriptor, rest.baseAddress, rest.count, off_t(position))
            if count < 0 && errno == EINTR { continue }
            guard count > 0 else {
                failure = HTTPError(
                    code: .fileFailed,
                    message: "writing the body of \(spec.display) failed at byte \(position) of the file: "
                        + String(cString: strerror(errno)))
                return false
            }
            position += Int64(count)
            rest = UnsafeRawBufferPointer(rebasing: rest[count...])
        }
        return true
    }
}

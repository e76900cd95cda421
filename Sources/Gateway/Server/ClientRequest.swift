import NIOCore

/// A request that was read whole, as the exchange needs it.
struct ClientRequest {
    let endpoint: Endpoint
    let inspection: BodyInspection
    let body: ByteBuffer
    /// Header lines that go to the replica, but for those of the replica itself: identifiers, what is accepted, the type.
    let fields: ByteBuffer
    /// The identifier's text: the client's, if it sent one that is sensible.
    let requestID: ByteBuffer
    /// Whether the answer must end with the connection, because the client speaks HTTP/1.0.
    let isOldVersion: Bool
    /// Whether the connection goes on afterwards.
    let keepsAlive: Bool
    let deployment: ModelTable.Deployment
    /// Its part in a rollout, if there is one.
    let arm: RolloutTable.Arm?
    /// The old version, where this one is under way: it is asked when this one fails before its first byte.
    let fallback: ModelTable.Deployment?
    let key: KeyState?
    let reservation: KeyState.Reservation?
    let price: PriceTable.Price
    /// What it has in common with others; nil for what is answered by itself.
    let joint: JointKey?
    let received: NIODeadline
}

extension ClientRequest {
    private static let usageMember: StaticString = "\"stream_options\":{\"include_usage\":true}"

    /// Whether the gateway asks for the use of tokens although the client did not.
    var addsUsage: Bool { inspection.isStream && endpoint.isGeneration && !inspection.includesUsage }

    /// The bytes for a replica: its own fields, those of the request, and the body with the model's name at the replica.
    /// - Parameter others: requests whose prompts are asked in the same call.
    func encoded(
        for replica: Replica, _ allocator: ByteBufferAllocator, joinedWith others: ArraySlice<ClientRequest> = []
    ) -> ByteBuffer {
        let named = Edit(place: inspection.modelPlace, text: replica.servedName)
        guard addsUsage || !others.isEmpty else { return encoded(for: replica, allocator, CollectionOfOne(named)) }
        var edits = [named]
        if addsUsage { edits.append(usageEdit) }
        if !others.isEmpty { edits += jointEdits(others, allocator) }
        edits.sort { $0.place.lowerBound < $1.place.lowerBound }
        return encoded(for: replica, allocator, edits)
    }

    /// - Parameter edits: of the body, in the order of their places.
    private func encoded(
        for replica: Replica, _ allocator: ByteBufferAllocator, _ edits: some Collection<Edit>
    ) -> ByteBuffer {
        let length = edits.reduce(body.readableBytes) { $0 + $1.text.readableBytes - $1.place.count }
        let size = 128 + replica.fields.readableBytes + fields.readableBytes + length
        var out = allocator.buffer(capacity: size)
        out.write(atMost: size) { out in
            out.text("POST ")
            out.text(endpoint.path)
            out.text(" HTTP/1.1\r\n")
            out.buffer(replica.fields)
            out.buffer(fields)
            out.text("content-length: ")
            out.decimal(length)
            out.text("\r\n\r\n")
            var at = 0
            for edit in edits {
                out.buffer(body, at..<edit.place.lowerBound)
                out.buffer(edit.text)
                at = edit.place.upperBound
            }
            out.buffer(body, at..<body.readableBytes)
        }
        return out
    }

    private struct Edit {
        let place: Range<Int>
        let text: ByteBuffer
    }

    /// All prompts in one list, and for generated text the wish to be told the tokens.
    private func jointEdits(_ others: ArraySlice<ClientRequest>, _ allocator: ByteBufferAllocator) -> [Edit] {
        let size = others.reduce(inspection.prompt.count + 2) { $0 + $1.inspection.prompt.count + 1 }
        var list = allocator.buffer(capacity: size)
        list.writeStaticString("[")
        list.copy(body, inspection.prompt)
        for other in others {
            list.writeStaticString(",")
            list.copy(other.body, other.inspection.prompt)
        }
        list.writeStaticString("]")
        var edits = [Edit(place: inspection.prompt, text: list)]
        if endpoint == .completions {
            let place = inspection.firstMember..<inspection.firstMember
            edits.append(Edit(place: place, text: ByteBuffer(string: "\(JointKey.tokensMember):true,")))
        }
        return edits
    }

    private var usageEdit: Edit {
        func insert(_ place: Int, _ text: String) -> Edit { Edit(place: place..<place, text: ByteBuffer(string: text)) }
        switch inspection.streamOptions {
        case .flag(let place): return Edit(place: place, text: ByteBuffer(string: "true"))
        case .object(let first, let isEmpty): return insert(first, "\"include_usage\":true" + (isEmpty ? "" : ","))
        case .null(let place): return Edit(place: place, text: ByteBuffer(string: "{\"include_usage\":true}"))
        // The object has a member: the model's name.
        case nil: return insert(inspection.firstMember, "\(Self.usageMember),")
        }
    }
}

extension ByteBuffer {
    /// Bytes around a chunk's content.
    static let chunkOverhead = 12
    private static let sizeDigits = 8

    /// Begins a chunk (RFC 9112 §7.1) in an empty buffer; its size is written when it is known.
    mutating func beginChunk() {
        writeStaticString("00000000\r\n")
    }

    /// Ends the chunk that the buffer holds; one without content leaves nothing, as it would mean the end.
    mutating func endChunk() {
        var rest = readableBytes - Self.sizeDigits - 2
        guard rest > 0 else {
            clear()
            return
        }
        // Leading zeros are a size's right, so that it has its place before it is known.
        var digits: UInt64 = 0
        for _ in 0..<Self.sizeDigits {
            let digit = UInt64(rest & 15)
            digits = digits << 8 | (digit < 10 ? 0x30 + digit : 0x57 + digit)
            rest >>= 4
        }
        setInteger(digits, at: readerIndex, endianness: .little)
        writeStaticString("\r\n")
    }

    /// Appends a part of another buffer, whose places count from its first readable byte.
    mutating func copy(_ other: ByteBuffer, _ places: Range<Int>) {
        other.withUnsafeReadableBytes { bytes in
            _ = writeBytes(UnsafeRawBufferPointer(rebasing: bytes[places]))
        }
    }
}

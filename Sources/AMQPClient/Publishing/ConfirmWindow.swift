/// Publishes that were written and wait for their confirmation, by delivery tag.
///
/// Tags of a confirm channel count from 1 (https://www.rabbitmq.com/docs/confirms), and the broker
/// may confirm out of order, one by one or all up to a tag.
struct ConfirmWindow<Element> {
    private var entries: [Element?] = []
    /// Index in `entries` of the oldest.
    private var head = 0
    /// Tag of the entry at `head`.
    private var firstTag: UInt64 = 1
    /// Entries that are not confirmed.
    private(set) var count = 0

    var isEmpty: Bool { count == 0 }
    var nextTag: UInt64 { firstTag + UInt64(entries.count - head) }

    mutating func append(_ element: Element) {
        entries.append(element)
        count += 1
    }

    /// - Parameter multiple: settles all up to `tag`; tag 0 then means all there are.
    /// - Returns: the elements that are settled by this; none for a tag that is not outstanding.
    mutating func settle(_ tag: UInt64, multiple: Bool) -> [Element] {
        var settled: [Element] = []
        if multiple {
            let end = tag == 0 ? nextTag : min(tag + 1, nextTag)
            while firstTag < end { removeFirst(into: &settled) }
        } else if tag >= firstTag, tag < nextTag {
            let index = head + Int(tag - firstTag)
            if let element = entries[index] {
                entries[index] = nil
                count -= 1
                settled.append(element)
            }
        }
        while head < entries.count, entries[head] == nil { removeFirst(into: &settled) }
        compact()
        return settled
    }

    /// Applies `body` to the unsettled elements, oldest first, until it returns true.
    mutating func update(until body: (inout Element) -> Bool) {
        for index in head..<entries.count {
            guard var element = entries[index] else { continue }
            let isDone = body(&element)
            entries[index] = element
            if isDone { return }
        }
    }

    func forEach(_ body: (Element) -> Void) {
        for case let element? in entries[head...] { body(element) }
    }

    /// Forgets all and counts from 1 again, for a new channel.
    mutating func reset() -> [Element] {
        defer { self = ConfirmWindow() }
        return entries[head...].compactMap(\.self)
    }

    private mutating func removeFirst(into settled: inout [Element]) {
        if let element = entries[head] {
            settled.append(element)
            entries[head] = nil
            count -= 1
        }
        head += 1
        firstTag += 1
    }

    private mutating func compact() {
        if head == entries.count {
            entries.removeAll(keepingCapacity: true)
            head = 0
        } else if head >= 64, head * 2 >= entries.count {
            entries.removeFirst(head)
            head = 0
        }
    }
}

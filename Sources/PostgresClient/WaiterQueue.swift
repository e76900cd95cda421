/// First in, first out, with removal by id in constant time.
struct WaiterQueue<Element> {
    private var order: [UInt64] = []
    private var head = 0
    private var elements: [UInt64: Element] = [:]

    var count: Int { elements.count }
    var isEmpty: Bool { elements.isEmpty }

    mutating func append(_ id: UInt64, _ element: Element) {
        order.append(id)
        elements[id] = element
    }

    mutating func remove(_ id: UInt64) -> Element? {
        elements.removeValue(forKey: id)
    }

    mutating func popFirst() -> Element? {
        skipRemoved()
        guard head < order.count else { return nil }
        defer { head += 1 }
        return elements.removeValue(forKey: order[head])
    }

    mutating func first() -> Element? {
        skipRemoved()
        return head < order.count ? elements[order[head]] : nil
    }

    mutating func removeAll() -> [Element] {
        defer { self = WaiterQueue() }
        return order[head...].compactMap { elements[$0] }
    }

    private mutating func skipRemoved() {
        while head < order.count, elements[order[head]] == nil { head += 1 }
        if head > 1_024, head * 2 > order.count {
            order.removeFirst(head)
            head = 0
        }
    }
}

/// A first-in-first-out queue: an array with a head, amortised O(1) at both ends.
struct FIFO<Element> {
    private var items: [Element?] = []
    private var head = 0

    var count: Int { items.count - head }
    var isEmpty: Bool { count == 0 }
    var first: Element? { isEmpty ? nil : items[head] }

    mutating func append(_ element: Element) {
        items.append(element)
    }

    mutating func append(contentsOf elements: some Sequence<Element>) {
        for element in elements { items.append(element) }
    }

    mutating func prepend(contentsOf elements: [Element]) {
        items.replaceSubrange(0..<head, with: elements.map(Optional.some))
        head = 0
    }

    mutating func popFirst() -> Element? {
        guard !isEmpty else { return nil }
        let element = items[head]
        items[head] = nil
        head += 1
        if head == items.count {
            items.removeAll(keepingCapacity: items.capacity <= 4_096)
            head = 0
        } else if head >= 64, head * 2 >= items.count {
            items.removeFirst(head)
            head = 0
        }
        return element
    }

    /// Takes out the elements that match, in order.
    mutating func remove(where matches: (Element) -> Bool) -> [Element] {
        var removed: [Element] = []
        var kept: [Element?] = []
        for case let element? in items[head...] {
            if matches(element) { removed.append(element) } else { kept.append(element) }
        }
        items = kept
        head = 0
        return removed
    }

    mutating func removeAll() -> [Element] {
        remove { _ in true }
    }

    func forEach(_ body: (Element) -> Void) {
        for case let element? in items[head...] { body(element) }
    }
}

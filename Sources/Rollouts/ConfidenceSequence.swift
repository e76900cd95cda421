import Glibc

/// An interval for a difference of means that holds at every moment at once, however often it is looked at and whenever
/// one stops looking: the mixture sequential probability ratio test (Robbins, 1970; Johari, Pekelis and Walsh, Always
/// Valid Inference, 2022), with a normal mixture of variance τ² and estimated variances.
package struct ConfidenceSequence: Hashable, Sendable {
    package var difference: Double
    package var lower: Double
    package var upper: Double

    /// - Parameters:
    ///   - difference: the estimate.
    ///   - variance: of the estimate.
    ///   - mixture: τ, about the size of the differences that matter, in the same unit.
    ///   - alpha: the probability that the truth is ever outside.
    package init(difference: Double, variance: Double, mixture: Double, alpha: Double) {
        self.difference = difference
        let tau = mixture * mixture
        // A variance of zero (a hundred of a hundred times the same) is no certainty; neither is a division by it.
        let variance = max(variance, tau * 1e-9)
        let width = (2 * variance * (variance + tau) / tau * log(((variance + tau) / variance).squareRoot() / alpha))
            .squareRoot()
        lower = difference - width
        upper = difference + width
    }
}

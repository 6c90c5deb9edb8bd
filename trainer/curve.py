"""A loss curve as a small SVG."""

from collections.abc import Sequence

WIDTH, HEIGHT, MARGIN = 480, 300, 48


def curve_svg(steps: Sequence[int], losses: Sequence[float]) -> str:
    """Validation losses over steps as a line with a dot for each, the ends of both axes labelled."""
    low, high = min(losses), max(losses)
    left, right, top, bottom = MARGIN, WIDTH - MARGIN, MARGIN, HEIGHT - MARGIN

    def x(step: int) -> float:
        return left + (right - left) * step / max(1, steps[-1])

    def y(loss: float) -> float:
        return bottom - (bottom - top) * (loss - low) / ((high - low) or 1.0)

    points = [f"{x(step):.1f},{y(loss):.1f}" for step, loss in zip(steps, losses, strict=True)]
    dots = "".join(f'<circle cx="{p.split(",")[0]}" cy="{p.split(",")[1]}" r="3" fill="#2563eb"/>' for p in points)
    labels = (
        (left, bottom + 20, "start", "0"),
        (right, bottom + 20, "end", f"step {steps[-1]}"),
        (left - 6, y(high) + 4, "end", f"{high:.3f}"),
        (left - 6, y(low) + 4, "end", f"{low:.3f}"),
        (WIDTH / 2, top - 20, "middle", "validation loss"),
    )
    texts = "".join(f'<text x="{a:g}" y="{b:g}" text-anchor="{anchor}">{text}</text>' for a, b, anchor, text in labels)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
        'font-family="sans-serif" font-size="12">'
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>'
        f'<path d="M{left} {top}V{bottom}H{right}" fill="none" stroke="#9ca3af"/>'
        f'<polyline points="{" ".join(points)}" fill="none" stroke="#2563eb" stroke-width="2"/>'
        f"{dots}{texts}</svg>\n"
    )

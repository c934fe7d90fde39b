// SPDX-License-Identifier: Apache-2.0
// How a box is drawn over a picture: its outline, what takes hold of it, and its name. Boxes are in image pixels.

export function outline(context, [x, y, w, h], scale, { colour: stroke, width, dash = [], corners = false }) {
  const dense = window.devicePixelRatio || 1;
  const rectangle = [x * scale, y * scale, w * scale, h * scale];
  const path = new Path2D();
  if (corners) {
    const [left, top, wide, high] = rectangle;
    const [dx, dy] = [wide * 0.3, high * 0.3];
    for (const [cx, cy, sx, sy] of [[left, top, 1, 1], [left + wide, top, -1, 1], [left, top + high, 1, -1], [left + wide, top + high, -1, -1]]) {
      path.moveTo(cx + sx * dx, cy);
      path.lineTo(cx, cy);
      path.lineTo(cx, cy + sy * dy);
    }
  } else path.rect(...rectangle);
  context.setLineDash([]);
  context.strokeStyle = "rgba(0,0,0,.55)";
  context.lineWidth = (width + 2) * dense;
  context.stroke(path);
  context.setLineDash(dash.map((d) => d * dense));
  context.strokeStyle = stroke;
  context.lineWidth = width * dense;
  context.stroke(path);
  context.setLineDash([]);
}

export function handles(context, [x, y, w, h], scale, fill) {
  const dense = window.devicePixelRatio || 1;
  const small = Math.min(w, h) * scale < 36 * dense;
  const size = (small ? 2.5 : 4) * dense;
  context.fillStyle = fill;
  context.strokeStyle = "rgba(0,0,0,.6)";
  context.lineWidth = 1;
  for (const [cx, cy] of [[x, y], [x + w, y], [x, y + h], [x + w, y + h], ...(small ? [] : [[x + w / 2, y + h / 2]])]) {
    context.beginPath();
    context.rect(cx * scale - size, cy * scale - size, 2 * size, 2 * size);
    context.fill();
    context.stroke();
  }
}

export function label(context, text, [x, y, w, h], scale, back, below) {
  const dense = window.devicePixelRatio || 1;
  context.font = `600 ${12 * dense}px system-ui, sans-serif`;
  const wide = context.measureText(text).width + 10 * dense;
  const high = 18 * dense;
  const over = y * scale - high - 3 * dense;
  const under = (y + h) * scale + 3 * dense;
  const top = below ? (under + high > context.canvas.height ? over : under) : over < 0 ? under : over;
  const left = Math.max(0, Math.min(x * scale - dense, context.canvas.width - wide));
  context.fillStyle = back;
  context.beginPath();
  context.roundRect(left, top, wide, high, 4 * dense);
  context.fill();
  context.fillStyle = "#111";
  context.fillText(text, left + 5 * dense, top + 13 * dense);
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The HTML form of a picture of gates: the SVG, the values, and a few lines of script that show the value under the
 * pointer and a line through all panels at its time. One file that needs nothing else.
 */
#include "picture.h"
#include "report.h"

#include <jansson.h>
#include <stdlib.h>

static const char head[] =
    "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
    "<meta name=\"viewport\" content=\"width=device-width\">\n<title>Latchwork gates</title>\n<style>\n"
    "body{margin:1rem;background:#fff;font-family:system-ui,Helvetica,Arial,sans-serif}\n"
    "svg{width:100%;height:auto;max-width:1300px;display:block;margin:auto}\n.cells{cursor:crosshair}\n"
    "#tip{position:fixed;display:none;pointer-events:none;background:#222;color:#fff;padding:.35rem .6rem;"
    "border-radius:.3rem;font-size:.85rem;white-space:pre}\n</style>\n</head>\n<body>\n";

static const char script[] =
    "const raw = Uint8Array.from(atob(gates.values), c => c.charCodeAt(0));\n"
    "const values = new Float32Array(raw.buffer);\n"
    "const svg = document.querySelector('svg'), tip = document.getElementById('tip');\n"
    "const panels = [...document.querySelectorAll('image.cells')];\n"
    "const line = document.createElementNS(svg.namespaceURI, 'line');\n"
    "line.setAttribute('stroke', '#fff'); line.setAttribute('style', "
    "'mix-blend-mode:difference;pointer-events:none');\n"
    "svg.append(line);\n"
    "const number = (p, name) => Number(p.getAttribute(name));\n"
    "function hide() { tip.style.display = 'none'; line.style.display = 'none'; }\n"
    "function show(event) {\n"
    "    const p = panels.findIndex(panel => { const r = panel.getBoundingClientRect();\n"
    "        return event.clientX >= r.left && event.clientX < r.right && event.clientY >= r.top &&\n"
    "            event.clientY < r.bottom; });\n"
    "    if (p < 0) return hide();\n"
    "    const r = panels[p].getBoundingClientRect(), C = gates.columns, T = gates.steps, U = gates.units.length;\n"
    "    const c = Math.min(C - 1, Math.floor((event.clientX - r.left) / r.width * C));\n"
    "    const u = Math.min(U - 1, Math.floor((event.clientY - r.top) / r.height * U));\n"
    "    const first = Math.ceil(c * T / C), last = Math.ceil((c + 1) * T / C) - 1;\n"
    "    const time = first === last ? `step ${first}` : `steps ${first} to ${last} (mean)`;\n"
    "    tip.textContent = `unit ${gates.units[u]}, ${time}\\n` + gates.signals.map((s, i) =>\n"
    "        `${i === p ? '\\u25b8' : '\\u2007'} ${s}: ${values[(i * U + u) * C + c].toPrecision(4)}`).join('\\n');\n"
    "    tip.style.display = 'block';\n"
    "    const box = tip.getBoundingClientRect();\n"
    "    tip.style.left = Math.max(0, Math.min(event.clientX + 14, innerWidth - box.width - 4)) + 'px';\n"
    "    tip.style.top = Math.max(0, Math.min(event.clientY + 14, innerHeight - box.height - 4)) + 'px';\n"
    "    const x = number(panels[p], 'x') + number(panels[p], 'width') * (c + 0.5) / C, end = panels.at(-1);\n"
    "    line.setAttribute('x1', x); line.setAttribute('x2', x); line.setAttribute('y1', number(panels[0], 'y'));\n"
    "    line.setAttribute('y2', number(end, 'y') + number(end, 'height')); line.style.display = '';\n"
    "}\n"
    "svg.addEventListener('pointermove', show); svg.addEventListener('pointerleave', hide); hide();\n";

static void write_data(FILE *stream, const struct picture *picture)
{
    json_t *signals = json_array(), *units = json_array();
    for (size_t i = 0; i < picture->signal_count; i++)
        json_array_append_new(signals, json_string(picture->signals[i]));
    for (size_t i = 0; i < picture->unit_count; i++)
        json_array_append_new(units, json_integer((json_int_t)picture->units[i]));
    json_t *root = json_pack("{s:I, s:I, s:o, s:o}", "steps", (json_int_t)picture->steps, "columns",
                             (json_int_t)picture->columns, "signals", signals, "units", units);
    fputs("const gates = ", stream);
    json_dumpf(root, stream, JSON_COMPACT);
    json_decref(root);
    fputs(";\ngates.values = '", stream);
    write_base64(stream, (const unsigned char *)picture->values,
                 picture->signal_count * picture->unit_count * picture->columns * sizeof(float));
    fputs("';\n", stream);
}

int picture_write_html(FILE *stream, const struct picture *picture)
{
    fputs(head, stream);
    int status = picture_write_svg(stream, picture);
    if (status != EXIT_OK)
        return status;
    fputs("<div id=\"tip\"></div>\n<script>\n", stream);
    write_data(stream, picture);
    fputs(script, stream);
    fputs("</script>\n</body>\n</html>\n", stream);
    return EXIT_OK;
}

#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Looks for vectors that the compiler keeps on the stack inside the hot loops of the kernels.

Usage: tools/check-spills.py [--count] [--objdump NAME] ISA=OBJECT ...    with ISA one of avx2, avx512, neon
       (TAP on standard output, a case for each object; exit status 1 when one fails)

With --count it prints the instructions of each hot loop beside its multiply-adds, largest first, in place of checking.

A hot loop is an innermost loop with at least 8 fused multiply-adds on vectors and no division or integer arithmetic
on vectors: a product, not an activation (which runs once per output and may keep its constants where it likes).
Found in it, an access of a whole vector at a fixed place of the stack is a spill; it costs half the speed, and no
other test would notice. An access with an index register is an array that the kernel asked for. An object without a
hot loop fails as well, or the check would pass when it no longer recognises the code.

It reads code and runs none, so AVX-512 is looked at on a machine without it, too. This is the check of its registers; the
check of its logic there is the suite `simde` of tools/run-tests, whose code has other registers.
"""
import argparse
import re
import subprocess
import sys
from dataclasses import dataclass

import sources

HOT = 8


@dataclass(frozen=True)
class Isa:
    fma: re.Pattern  # a multiply-add on whole vectors
    activation: re.Pattern  # what a product has no use for
    spill: re.Pattern  # a whole vector at a fixed place relative to the stack pointer
    framed: re.Pattern  # the same relative to the frame pointer, for functions that have one
    frame: re.Pattern  # what makes the frame pointer one
    branch: re.Pattern  # a jump inside the function: its target in group 1


def x86(vector):
    register = rf'%{vector}\d+'
    place = r'(?:-?0x[0-9a-f]+)?\(%{}\)'
    moves = r'^v(?!broadcast|movs[sd]\b|pinsr|extract|zeroupper)\w+ .*'

    def at(base):
        spot = place.format(base)
        return re.compile(rf'{moves}(?:{spot}(?!\{{1to).*{register}|{register}.*{spot})')

    return Isa(re.compile(rf'^vf(?:n)?m(?:add|sub)\d+ps .*{register}'),
               re.compile(rf'^v(?:divps|paddd|pslld|pord|cmpps) .*{register}'), at('rsp'), at('rbp'),
               re.compile(r'^(?:mov +%rsp,%rbp|lea +.*\(%rsp\),%rbp)$'), re.compile(r'^j\w+ +([0-9a-f]+) '))


ISAS = {
    'avx2': x86('ymm'),
    'avx512': x86('zmm'),
    'neon': Isa(re.compile(r'^fml[as]\s+v\d+\.4s'), re.compile(r'^(?:fdiv|add|shl|fcm\w\w)\s+v\d+\.4s'),
                re.compile(r'^(?:ldr|str|ldur|stur|ldp|stp)\s+q\d+,.*\[sp\b(?!, x)'),
                re.compile(r'^(?:ldr|str|ldur|stur|ldp|stp)\s+q\d+,.*\[x29\b(?!, x)'), re.compile(r'^mov\s+x29, sp$'),
                re.compile(r'^(?:b|b\.\w+|cbn?z\s+\w+,|tbn?z\s+\w+, #\S+,)\s*([0-9a-f]+) ')),
}


def functions(objdump, path):
    """(name, [(address, instruction)]) of each function."""
    text = subprocess.run([objdump, '-d', '--no-show-raw-insn', path], capture_output=True, text=True, check=True).stdout
    name, body = None, []
    for line in text.splitlines():
        head = re.match(r'^[0-9a-f]+ <(.+)>:$', line)
        if head:
            if name:
                yield name, body
            name, body = head.group(1), []
            continue
        code = re.match(r'^\s*([0-9a-f]+):\s+(.+?)\s*$', line)
        if code and name:
            body.append((int(code.group(1), 16), re.sub(r'\s+', ' ', code.group(2).replace('\t', ' '))))
    if name:
        yield name, body


def innermost_loops(isa, body):
    """(first, last) addresses of loops that hold no other loop."""
    places = {address for address, _ in body}
    loops = set()
    for address, code in body:
        jump = isa.branch.match(code)
        if jump and int(jump.group(1), 16) <= address and int(jump.group(1), 16) in places:
            loops.add((int(jump.group(1), 16), address))
    return sorted(loop for loop in loops
                  if not any(other != loop and loop[0] <= other[0] and other[1] <= loop[1] for other in loops))


def hot_loops(isa, objdump, path):
    """(function, has a frame, first address, its code, number of multiply-adds) of each."""
    for name, body in functions(objdump, path):
        has_frame = any(isa.frame.match(code) for _, code in body)
        for first, last in innermost_loops(isa, body):
            loop = [code for address, code in body if first <= address <= last]
            multiplications = sum(bool(isa.fma.match(code)) for code in loop)
            if multiplications >= HOT and not any(isa.activation.match(code) for code in loop):
                yield name, has_frame, first, loop, multiplications


def look(isa, objdump, path):
    """(number of hot loops, problems)"""
    hot, problems = 0, []
    for name, has_frame, first, loop, multiplications in hot_loops(isa, objdump, path):
        hot += 1
        spills = [code for code in loop if isa.spill.match(code) or (has_frame and isa.framed.match(code))]
        if spills:
            problems.append(f'{name}, loop at {first:x}, {multiplications} multiply-adds: '
                            f'{len(spills)} accesses of the stack, as {spills[0]}')
    return hot, problems or ([] if hot else ['no hot loop was found'])


def count(name, objdump, path):
    rows = sorted(((m, len(loop), function) for function, _, _, loop, m in hot_loops(ISAS[name], objdump, path)),
                  reverse=True)
    print(f'{name}: multiply-adds of a loop, its instructions, instructions a multiply-add')
    for multiplications, instructions, function in rows:
        print(f'{multiplications:4} {instructions:4}  {instructions / multiplications:5.2f}  {function}')


def main():
    parser = argparse.ArgumentParser(usage='%(prog)s [--count] [--objdump NAME] ISA=OBJECT ...')
    parser.add_argument('--objdump', default='objdump')
    parser.add_argument('--count', action='store_true')
    parser.add_argument('objects', nargs='+')
    arguments = parser.parse_args()
    tap = sources.Tap()
    for item in arguments.objects:
        name, _, path = item.partition('=')
        if name not in ISAS or not path:
            parser.error(f"expected ISA=OBJECT with ISA one of {', '.join(ISAS)}, not '{item}'")
        if arguments.count:
            count(name, arguments.objdump, path)
            continue
        hot, problems = look(ISAS[name], arguments.objdump, path)
        tap.case(f'{name}: no vector on the stack in {hot} hot loops', problems)
    return 0 if arguments.count else tap.end()


if __name__ == '__main__':
    sys.exit(main())

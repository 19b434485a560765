/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The two scales of colours of the pictures, interpolated between a few anchors. Both are even to the eye and readable
 * with the common colour blindnesses.
 */
#include "picture.h"

/* viridis (Smith and van der Walt 2015, CC0) at steps of 1/8. */
static const unsigned char sequential[9][3] = {
    {68, 1, 84},    {71, 44, 122}, {59, 81, 139},  {44, 113, 142}, {33, 144, 141},
    {39, 173, 129}, {92, 200, 99}, {170, 220, 50}, {253, 231, 37},
};

/* RdBu of ColorBrewer (Brewer and Harrower, Apache-2.0), blue first, at steps of 1/8. */
static const unsigned char diverging[9][3] = {
    {33, 102, 172},  {67, 147, 195},  {146, 197, 222}, {209, 229, 240}, {247, 247, 247},
    {253, 219, 199}, {244, 165, 130}, {214, 96, 77},   {178, 24, 43},
};

static const unsigned char no_number[3] = {255, 0, 255};

void palette_fill(enum palette palette, unsigned char rgb[256][3])
{
    const unsigned char(*anchors)[3] = palette == PALETTE_DIVERGING ? diverging : sequential;
    for (int i = 0; i <= PALETTE_TOP; i++) {
        double place = (double)i * 8 / PALETTE_TOP;
        int low = place >= 8 ? 7 : (int)place;
        for (int c = 0; c < 3; c++)
            rgb[i][c] = (unsigned char)(anchors[low][c] + (anchors[low + 1][c] - anchors[low][c]) * (place - low) +
                                        0.5);
    }
    for (int c = 0; c < 3; c++)
        rgb[PALETTE_NAN][c] = no_number[c];
}

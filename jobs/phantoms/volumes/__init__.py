"""Drawn heads with a tumour, as a magnetic resonance scanner shows them, and which voxel is what."""

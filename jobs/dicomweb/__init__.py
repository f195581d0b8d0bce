"""Archives behind DICOMweb (PS3.18): finding radiographs in one, and getting them."""

"""What a DRAM standard's data sheet says of speed: a closed form, and a controller replayed."""

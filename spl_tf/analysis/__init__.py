"""What a run learned, for people: pictures, Grad-CAM and the report."""

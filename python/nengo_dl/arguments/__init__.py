"""What users give: its forms, its names, its checks."""

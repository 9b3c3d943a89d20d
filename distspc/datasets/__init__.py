"""The field's data sets, and studies made of them."""

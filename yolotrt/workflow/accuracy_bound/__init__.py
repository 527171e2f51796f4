"""INT8 within a bound: layers are put back into high precision until the loss is small enough."""

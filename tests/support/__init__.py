"""What tests share: real servers, a clock that travels, actors."""

"""How well a network answers: on clean images, under attack, and on images of another kind."""

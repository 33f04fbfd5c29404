"""Networks with q(v) = prod_i q(v_i | v before i): exact likelihoods, and draws that are independent."""

from ebmphys.generators.autoregressive.base import Autoregressive
from ebmphys.generators.autoregressive.frontier import FrontierNetwork
from ebmphys.generators.autoregressive.made import MADE
from ebmphys.generators.autoregressive.pixelcnn import PixelCNN
from ebmphys.generators.autoregressive.symmetrised import Symmetrised

__all__ = ["MADE", "Autoregressive", "FrontierNetwork", "PixelCNN", "Symmetrised"]
